import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.api import Batch, resolve
from harness.nn.masking import random_units
from harness.nn.views import random_view

from .conftest import kind, rng, tiny


def test_the_loss_by_loops_over_voxels_of_a_known_prediction():
    """METHODS 1.13: L = Σ m |x - x̂| / (Σ m C); nothing of it is taken from the method.

    The view is the volume itself, the prediction is written over the head's, and which
    units are hidden is what the encoder was told.
    """
    side, unit, channels = 32, 8, 2
    sides = (side,) * 3
    method = tiny("simmim", channels=channels, region=sides, crop=sides).eval()
    x = torch.rand(2, channels, *sides, generator=rng(2))
    x_hat = x + 3 * torch.rand(x.shape, generator=rng(3)) - 1
    x_hat += upsampled(torch.rand(2, 4, 4, 4, generator=rng(4)), unit)  # unlike units
    told = []
    method.student.register_forward_pre_hook(
        lambda _m, _a, kwargs: told.append(kwargs["mask_units"]), with_kwargs=True
    )
    method.head.register_forward_hook(lambda *_: x_hat)
    got = method.loss(Batch(x, ("a", "b")), rng(7)).total.item()

    (hidden,) = told
    # ceil(0.7 * 64) of each image's units, and not the same ones (METHODS 1.27)
    assert [each.sum().item() for each in hidden] == [45, 45]
    assert not torch.equal(*hidden)
    total = count = 0
    for b, z, y, w in np.argwhere(hidden.numpy()):
        cube = tuple(slice(unit * n, unit * n + unit) for n in (z, y, w))
        for c in range(channels):
            pairs = zip(
                x[b, c][cube].flatten().tolist(),
                x_hat[b, c][cube].flatten().tolist(),
                strict=True,
            )
            for value, guess in pairs:
                total += value - guess if value > guess else guess - value
                count += 1
    assert count == 2 * 45 * unit**3 * channels
    assert got == pytest.approx(total / count, rel=1e-5)
    # none of the usual mistakes comes near it
    away, shown = (x - x_hat).abs(), upsampled(~hidden, unit).expand_as(x)
    wrong = [away.mean(), away[shown].mean(), away[~shown].square().mean()]
    assert all(abs(got - each.item()) > 1e-3 for each in wrong)


def upsampled(units, factor):
    voxels = units[:, None]
    for axis in (2, 3, 4):
        voxels = voxels.repeat_interleave(factor, dim=axis)
    return voxels


def test_the_targets_of_visible_voxels_do_not_matter(batch, monkeypatch):
    method = tiny("simmim").eval()
    want = method.loss(batch, rng(7)).total
    seen = {}
    honest = method.loss.__globals__["masked_l1"]

    def other_targets(x_hat, x, hidden):
        seen["hidden"] = hidden.float().mean().item()
        return honest(x_hat, torch.where(hidden, x, x + 9.0), hidden)

    monkeypatch.setitem(method.loss.__globals__, "masked_l1", other_targets)
    assert torch.equal(method.loss(batch, rng(7)).total, want)
    assert seen["hidden"] == pytest.approx(0.7, abs=0.01)

    def other_hidden_targets(x_hat, x, hidden):
        return honest(x_hat, torch.where(hidden, x + 9.0, x), hidden)

    monkeypatch.setitem(method.loss.__globals__, "masked_l1", other_hidden_targets)
    assert not torch.equal(method.loss(batch, rng(7)).total, want)


def test_hidden_voxels_are_not_seen():
    method = tiny("simmim", region=(32, 32, 32)).eval()
    volumes = torch.rand(2, 1, 32, 32, 32, generator=rng(2))
    draws = rng(7)
    random_view(volumes, (32, 32, 32), draws)
    unit = method.student.unit
    hidden = random_units(2, (32 // unit,) * 3, 0.7, draws)
    voxels = torch.kron(hidden[:, None].int(), torch.ones(unit, unit, unit).int())
    changed = torch.where(voxels.bool(), 1 - volumes, volumes)
    outputs = []
    method.head.register_forward_hook(lambda *call: outputs.append(call[2]))
    for each in (volumes, changed):
        method.loss(Batch(each, ("a", "b")), rng(7))
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"crop": (40, 32, 32)}, "multiples of the encoder's stride, 16"),
        ({"crop": (48, 32, 32)}, "larger than region"),
    ],
)
def test_views_that_cannot_be_cut_are_refused(overrides, words):
    with pytest.raises(ValidationError, match=words):
        resolve(kind("simmim").Settings, "tiny", overrides)


def test_a_resnet_is_shown_nothing_of_hidden_voxels(batch):
    """METHODS 1.26: hidden cubes are zero at a CNN's input, and it predicts them."""
    method = tiny("simmim", encoder="resnet").eval()
    x, unit = batch.volumes[..., :32, :32, :32], method.student.unit
    hidden = random_units(2, (32 // unit,) * 3, 0.7, rng(7))
    voxels = upsampled(hidden, unit)
    with torch.no_grad():
        one = method.student(x, mask_units=hidden).pooled
        other = method.student(torch.where(voxels, x + 5, x), mask_units=hidden).pooled
        seen = method.student(torch.where(voxels, x, x + 5), mask_units=hidden).pooled
    assert torch.equal(one, other)
    assert not torch.allclose(one, seen)
    assert 0 < method.loss(batch, rng(7)).total.item() < 9
