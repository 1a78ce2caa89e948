"""Every method of the checkout at tier tiny, and a fixed batch."""

from pathlib import Path

import pytest
import torch

from harness.api import Batch, Method, resolve
from harness.registry.methods import load_method

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "methods").glob("[a-z]*.py"))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kind(name: str) -> type[Method]:
    return load_method([ROOT], name)


def tiny(name: str, *, channels: int = 1, **overrides) -> Method:
    found = kind(name)
    settings = resolve(found.Settings, "tiny", overrides)
    return found(settings, channels, rng(1)).train()


@torch.no_grad()
def stirred(method: Method, seed: int = 5, size: float = 0.2) -> Method:
    """The method with noise on every weight of student and teacher, in evaluation mode.

    As they are drawn, networks see hardly any difference between two images, and a loss
    of the wrong pair would pass for that of the right one.
    """
    noise = rng(seed)
    for parameter in method.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=noise) * size)
    return method.eval()


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def batch_of(method: Method) -> Batch:
    """Smooth random regions of the method's size: there is something to predict."""
    region = method.settings.region
    coarse = torch.rand(2, 1, *[5] * len(region), generator=rng(2))
    volumes = torch.nn.functional.interpolate(coarse, size=region)
    return Batch(volumes, ("a", "b"))


@pytest.fixture
def batch(request) -> Batch:
    """The batch of the test's own method, or of one with regions of 40^3."""
    if "method" in request.fixturenames:
        return batch_of(request.getfixturevalue("method"))
    return batch_of(tiny("simmim"))
