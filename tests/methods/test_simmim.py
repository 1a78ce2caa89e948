import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.api import Batch, resolve
from harness.nn.masking import random_units
from harness.nn.views import random_view

from .conftest import kind, rng, tiny


def test_the_loss_is_the_mean_error_of_hidden_voxels(batch):
    method = tiny("simmim", mask_ratio=0.4, crop=(16, 16, 16)).eval()
    got = method.loss(batch, rng(7)).total.item()

    draws = rng(7)
    x = random_view(batch.volumes, (16, 16, 16), draws)
    unit = method.student.unit
    hidden = random_units(2, (16 // unit,) * 3, 0.4, draws)
    with torch.no_grad():
        x_hat = method.head(method.student(x, mask_units=hidden).maps[-1])
        gaps = (x_hat - x).abs().numpy()
    errors = [
        gaps[b, 0, i, j, k]
        for b, i, j, k in np.ndindex(2, 16, 16, 16)
        if hidden[b, i // unit, j // unit, k // unit]
    ]
    assert got == pytest.approx(np.mean(errors), rel=1e-5)


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
    voxels = hidden[:, None]
    for axis in (2, 3, 4):
        voxels = voxels.repeat_interleave(unit, dim=axis)
    with torch.no_grad():
        one = method.student(x, mask_units=hidden).pooled
        other = method.student(torch.where(voxels, x + 5, x), mask_units=hidden).pooled
        seen = method.student(torch.where(voxels, x, x + 5), mask_units=hidden).pooled
    assert torch.equal(one, other)
    assert not torch.allclose(one, seen)
    assert 0 < method.loss(batch, rng(7)).total.item() < 9
