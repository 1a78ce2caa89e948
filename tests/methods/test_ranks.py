"""Every method on two ranks is the method on one: losses, terms and what evolves."""

import pytest
import torch

from harness.api import Batch
from harness.nn import collective, draws

from ..ranks import in_ranks
from .conftest import NAMES, kind, rng, tiny

PRETRAINED = [name for name in NAMES if kind(name).role == "pretrained"]
RANKS, REGIONS, STEPS = 2, 4, 2


def course(name):
    """Losses and terms of a few steps without an optimiser, and the buffers at the end."""
    method = tiny(name)
    generator, seen = rng(4), []
    world, rank = collective.world_size(), collective.rank()
    mine = slice(rank * REGIONS // world, (rank + 1) * REGIONS // world)
    volumes = torch.rand(REGIONS, 1, *method.settings.region, generator=rng(9))
    part = Batch(volumes[mine], tuple(f"case{i}" for i in range(REGIONS))[mine])
    for step in range(STEPS):
        method.step = step
        with draws.share(draws.Share(rank, world, REGIONS // world)), torch.no_grad():
            loss = method.loss(part, generator)
        values = [loss.total, *loss.terms.values()]
        seen += [collective.mean_over_ranks(each.double()).item() for each in values]
        method.after_step(step, 10)
    buffers = {n: b.double().norm().item() for n, b in method.named_buffers()}
    return seen, buffers, generator.get_state().tolist()


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)

    def work():
        return {name: _tried(name) for name in PRETRAINED}

    yield work(), in_ranks(RANKS, tmp_path_factory.mktemp("ranks"), work)
    torch.set_default_dtype(before)


def _tried(name):
    try:
        return course(name)
    except Exception as error:  # told by the test of this method, not by all
        return repr(error)


@pytest.mark.parametrize("name", PRETRAINED)
def test_two_ranks_see_what_one_process_sees(courses, name):
    whole, ranks = courses
    assert isinstance(whole[name], tuple), whole[name]
    for found in ranks:
        assert isinstance(found[name], tuple), found[name]
        assert found[name][0] == pytest.approx(whole[name][0], rel=1e-5)
        assert found[name][1] == pytest.approx(whole[name][1], rel=1e-5)
        assert found[name][2] == whole[name][2]  # every rank has made all draws
