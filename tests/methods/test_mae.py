"""MAE's loss against a plain loop, and what its encoder may see."""

import numpy as np
import pytest
import torch

from harness.api import Batch
from harness.nn.masking import uniform_scores
from harness.nn.patches import normalised, to_patches
from harness.nn.positions import sine_positions
from harness.nn.views import random_view

from .conftest import rng, tiny


def test_patches_by_hand():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert to_patches(x, 2)[0].tolist() == [
        [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15],
    ]  # fmt: skip
    flat = normalised(torch.tensor([[1.0, 3.0], [5.0, 5.0]]))
    assert flat[0].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5], abs=1e-5)
    assert flat[1].tolist() == [0, 0]  # background has no variance


@torch.no_grad()
@pytest.mark.parametrize("norm", [True, False])
def test_the_loss_is_the_mean_error_of_hidden_patches(batch, norm):
    method = tiny("mae", flip=0.0, norm_targets=norm).eval()
    found = method.loss(batch, rng(4)).total.item()
    draws = rng(4)
    x = random_view(batch.volumes, (32,) * 3, draws)
    for _ in range(3):  # flips that never happen draw all the same
        torch.rand(2, generator=draws)
    order = uniform_scores(2, 64, draws).argsort(dim=1)
    z = method.student.encode_kept(x, order[:, :16])
    x_hat = method.decoder(z, order, (4, 4, 4), rng())
    errors = []
    for b in range(2):
        for rank in range(16, 64):
            patch = int(order[b, rank])
            d, h, w = np.unravel_index(patch, (4, 4, 4))
            cube = x[b, 0, 8 * d : 8 * d + 8, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8]
            target = cube.flatten().double().numpy()
            if norm:
                target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            errors.append(((x_hat[b, patch].numpy() - target) ** 2).mean())
    assert found == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_decoders_positions_start_as_the_encoders():
    method = tiny("mae", encoder={"positions_start": "sines"})
    for part, width in ((method.student, 96), (method.decoder, 48)):
        assert torch.equal(part.positions, sine_positions(width, (4, 4, 4)))


def test_hidden_patches_reach_neither_encoder_nor_decoder():
    method = tiny("mae", region=(32, 32, 32), flip=0.0).eval()
    volumes = torch.rand(2, 1, 32, 32, 32, generator=rng(2))
    draws = rng(7)
    random_view(volumes, (32, 32, 32), draws)
    for _ in range(3):
        torch.rand(2, generator=draws)
    hidden = uniform_scores(2, 64, draws).argsort(dim=1).argsort(dim=1) >= 16
    voxels = hidden.view(2, 1, 4, 4, 4)
    for axis in (2, 3, 4):
        voxels = voxels.repeat_interleave(8, dim=axis)
    outputs = []
    method.decoder.register_forward_hook(lambda *call: outputs.append(call[2]))
    for each in (volumes, torch.where(voxels, 1 - volumes, volumes)):
        method.loss(Batch(each, ("a", "b")), rng(7))
    assert torch.equal(*outputs)
    assert method.student.mask_token.requires_grad is False


@torch.no_grad()
def test_the_decoder_puts_every_patch_in_its_place():
    method = tiny("mae").eval()
    x = torch.rand(1, 1, 32, 32, 32, generator=rng(2))
    order = uniform_scores(1, 64, rng(3)).argsort(dim=1)
    other = torch.cat([order[:, :16].flip(1), order[:, 16:].roll(5, 1)], dim=1)
    one, two = (
        method.decoder(
            method.student.encode_kept(x, each[:, :16]), each, (4, 4, 4), rng()
        )
        for each in (order, other)  # the same patches, listed in two ways
    )
    torch.testing.assert_close(one, two)
    places = one[0, order[0, 16:]]  # nothing but their position tells hidden ones apart
    gaps = (places[:, None] - places[None]).abs().amax(dim=2).fill_diagonal_(1)
    assert gaps.min() > 1e-4
