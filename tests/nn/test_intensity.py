"""Intensity changes against per-sample loops and known answers."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from harness.nn.draws import Share, share
from harness.nn.intensity import (
    Jitter,
    add_noise,
    blur,
    brighten,
    coarsen,
    contrast,
    gamma,
    sometimes,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[(8, 9), (6, 7, 8)], ids=["2-D", "3-D"])
def x(request):
    return torch.rand(3, 2, *request.param, generator=rng())


STRENGTH = torch.tensor([0.8, 1.0, 1.3])


def test_point_changes_equal_loops_over_samples(x):
    for i, s in enumerate(STRENGTH.tolist()):
        assert torch.allclose(brighten(x, STRENGTH)[i], (x[i] * s).clamp(0, 1))
        assert torch.allclose(gamma(x, STRENGTH)[i], x[i] ** s)
        for c in range(2):
            mean = x[i, c].mean()
            want = (mean + s * (x[i, c] - mean)).clamp(0, 1)
            assert torch.allclose(contrast(x, STRENGTH)[i, c], want, atol=1e-6)


def test_by_hand():
    one = torch.tensor([[[0.0, 0.25, 0.5]]])
    two = torch.tensor([2.0])
    assert brighten(one, two).flatten().tolist() == [0.0, 0.5, 1.0]
    assert gamma(one, two).flatten().tolist() == [0.0, 0.0625, 0.25]
    assert contrast(one, two).flatten().tolist() == [0.0, 0.25, 0.75]
    assert add_noise(one, torch.tensor([0.5]), one).flatten().tolist() == [
        0.0, 0.375, 0.75,
    ]  # fmt: skip


def test_blur_is_scipys_with_the_same_reach(x):
    sigma = torch.tensor([0.4, 0.8, 1.0])
    blurred = blur(x, sigma)
    for i, s in enumerate(sigma.tolist()):
        for c in range(2):
            want = ndimage.gaussian_filter(
                x[i, c].double().numpy(), s, mode="nearest", radius=3
            )
            np.testing.assert_allclose(blurred[i, c].numpy(), want, atol=1e-5)


def test_blur_leaves_a_constant_alone(x):
    assert torch.allclose(blur(torch.full_like(x, 0.3), STRENGTH), torch.tensor(0.3))


def test_coarsen_equals_a_plain_loop():
    x = torch.rand(2, 1, 8, 6, generator=rng())
    zoom = torch.tensor([0.5, 1.0])
    found = coarsen(x, zoom)
    assert torch.equal(found[1], x[1])
    for i in range(8):
        for j in range(6):
            ci, cj = int((i + 0.5) * 4 / 8), int((j + 0.5) * 3 / 6)
            want = x[0, 0, int((ci + 0.5) * 2), int((cj + 0.5) * 2)]
            assert found[0, 0, i, j] == want


def test_sometimes_takes_the_stated_share():
    x = torch.zeros(4000, 1, 1)
    taken = sometimes(x, x + 1, 0.3, rng())
    assert taken.mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(sometimes(x, x + 1, 0.0, rng()), x)


def test_jitter_is_seeded_stays_in_range_and_does_something(x):
    jitter = Jitter()
    found = jitter(x, rng(3))
    assert torch.equal(found, jitter(x, rng(3)))
    assert not torch.equal(found, jitter(x, rng(4)))
    assert found.min() >= 0
    assert found.max() <= 1
    never = {name: 0.0 for name in Jitter.model_fields if name.endswith("_chance")}
    assert torch.equal(Jitter(**never)(x, rng(3)), x)


def test_two_shares_of_a_batch_get_the_draws_of_the_whole():
    x = torch.rand(4, 1, 6, 6, generator=rng())
    whole = Jitter()(x, rng(3))
    for index in range(2):
        with share(Share(index, 2, 2)):
            part = Jitter()(x[2 * index : 2 * index + 2], rng(3))
        # The reach of a blur follows the largest sigma of a share: equal to rounding.
        assert torch.allclose(part, whole[2 * index : 2 * index + 2], atol=2e-3)
