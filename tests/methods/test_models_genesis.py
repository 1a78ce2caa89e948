"""Models Genesis: what is corrupted, and that the target is not."""

import pytest
import torch
from pydantic import ValidationError

from harness.api import Batch, resolve

from .conftest import kind, rng, tiny


@pytest.fixture
def volumes():
    return torch.rand(16, 1, 32, 32, 32, generator=rng()) * 0.5 + 0.25


NOTHING = {"mirror": 0, "shuffle": 0, "curve": 0, "paint": 0}


def test_with_nothing_corrupted_the_loss_is_the_error_of_a_plain_reconstruction(
    volumes,
):
    method = tiny("models_genesis", **NOTHING, encoder="resnet").eval()
    x = volumes[:2]
    assert torch.equal(method.corrupt(x, rng()), x)
    x_hat = method.decoder(x, method.student(x))
    want = sum((a - b) ** 2 for a, b in zip(
        x_hat.flatten().tolist(), x.flatten().tolist(), strict=True
    )) / x.numel()  # fmt: skip
    assert method.loss(Batch(x, ("a", "b")), rng()).total.item() == pytest.approx(want)


def test_the_target_is_mirrored_with_the_input_and_not_corrupted(volumes):
    method = tiny("models_genesis", **{**NOTHING, "mirror": 1, "paint": 1})
    seen = []
    method.student.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    targets = []
    method.decoder.register_forward_hook(
        lambda _, __, out: targets.append(torch.zeros_like(out)) or targets[-1]
    )
    loss = method.loss(Batch(volumes[:2], ("a", "b")), rng())
    mirrored = volumes[:2].flip(2, 3, 4)
    # A decoder that says 0 leaves the mean square of the target.
    assert loss.total.item() == pytest.approx(mirrored.square().mean().item(), rel=1e-5)
    same = seen[0] == mirrored
    assert 0.05 < same.float().mean() < 0.999


def test_painting_inside_hides_little_and_outside_hides_most(volumes):
    x = torch.full_like(volumes, 2.0)  # so that what was painted can be told
    shares = []
    for inside in (1, 0):
        method = tiny("models_genesis", **{**NOTHING, "paint": 1, "inside": inside})
        shares.append((method.corrupt(x, rng()) != x).float().mean().item())
    assert shares[0] < 0.25
    assert shares[1] > 0.4


def test_intensities_are_remapped_monotonically(volumes):
    method = tiny("models_genesis", **{**NOTHING, "curve": 1, "falling": 0})
    y = method.corrupt(volumes, rng())
    for before, after in zip(volumes.flatten(1), y.flatten(1), strict=True):
        assert (after[before.argsort()].diff() >= -1e-6).all()
    method = tiny("models_genesis", **{**NOTHING, "curve": 1, "falling": 1})
    y = method.corrupt(volumes, rng())
    for before, after in zip(volumes.flatten(1), y.flatten(1), strict=True):
        assert (after[before.argsort()].diff() <= 1e-6).all()


def test_shuffling_keeps_each_samples_intensities(volumes):
    method = tiny("models_genesis", **{**NOTHING, "shuffle": 1})
    y = method.corrupt(volumes, rng())
    assert not torch.equal(y, volumes)
    assert torch.equal(
        y.flatten(1).sort(dim=1).values, volumes.flatten(1).sort(dim=1).values
    )


def test_cutting_out_leaves_zeros(volumes):
    method = tiny(
        "models_genesis", **{**NOTHING, "paint": 1, "inside": 1, "fill": "zero"}
    )
    y = method.corrupt(volumes, rng())
    changed = y != volumes
    assert changed.any()
    assert (y[changed] == 0).all()


def test_a_patch_that_its_decoder_cannot_reach_voxels_from_is_refused():
    encoder = {"kind": "vit", "patch": 32}
    with pytest.raises(ValidationError, match="not 32; the nearest is 16"):
        resolve(kind("models_genesis").Settings, "tiny", {"encoder": encoder})
