"""Collapse measures on representations that have, and have not, collapsed."""

import math

import numpy as np
import pytest
import torch

from harness.nn.spread import (
    effective_rank,
    embedding_spread,
    prototype_use,
    rankme,
    spectrum_slope,
    uniformity,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_spread_is_near_one_for_directions_that_fill_the_space_and_zero_for_one():
    x = torch.randn(500, 64, generator=rng())
    assert embedding_spread(x) == pytest.approx(1, abs=0.01)
    assert embedding_spread(x[:1].expand(5, 64)) == pytest.approx(0, abs=1e-3)
    # unit vectors along two axes: each coordinate has variance 1/4, their sum is 1/2
    assert embedding_spread(torch.eye(2) * 7) == pytest.approx(math.sqrt(0.5))


def test_effective_rank_by_hand():
    line = torch.linspace(-1, 1, 5)[:, None] * torch.ones(1, 4)
    assert effective_rank(line) == pytest.approx(1)
    square = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert effective_rank(square) == pytest.approx(2)
    assert effective_rank(torch.ones(3, 4)) == 0
    # singular values 3 and 1: exp of the entropy of (3/4, 1/4)
    two = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    want = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert effective_rank(two) == pytest.approx(want)


def test_prototype_use_tells_both_collapses_from_health():
    healthy = prototype_use(torch.eye(4).view(2, 2, 4))
    assert healthy == pytest.approx(
        {"entropy": 0, "used": 1, "information": math.log(4)}
    )
    uniform = prototype_use(torch.full((3, 4), 0.25))
    assert uniform == pytest.approx({"entropy": 1, "used": 1 / 3, "information": 0})
    constant = prototype_use(torch.eye(4)[:1].expand(8, 4))
    assert constant == pytest.approx({"entropy": 0, "used": 0.25, "information": 0})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_spread_and_raises_nothing(bad):
    x = torch.tensor([[1.0, 2.0], [bad, 1.0]])
    assert embedding_spread(x) == effective_rank(x) == 0.0


def test_quantities_of_transfer_are_their_definitions():
    """In plain numpy, from the covariance instead of singular values where it can be."""
    x = torch.randn(40, 12, generator=rng()) * torch.linspace(1, 3, 12) + 2
    plain = x.double().numpy()
    sizes = np.sqrt(np.linalg.eigvalsh(plain.T @ plain))
    p = sizes / sizes.sum() + 1e-7
    assert rankme(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)
    eigenvalues = np.linalg.eigvalsh(np.cov(plain.T))[::-1][:6]
    line = np.polyfit(np.log(np.arange(1, 7)), np.log(eigenvalues), 1)
    assert spectrum_slope(x) == pytest.approx(-line[0], rel=1e-9)
    z = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    pairs = [
        np.exp(-2 * ((z[i] - z[j]) ** 2).sum()) for i in range(40) for j in range(i)
    ]
    assert uniformity(x) == pytest.approx(np.log(np.mean(pairs)), rel=1e-9)


def test_a_power_law_has_its_slope_and_collapse_has_the_worst_values():
    scales = torch.arange(1, 33, dtype=torch.float64) ** -0.75
    signs = torch.cat([torch.eye(32), -torch.eye(32)]).double()  # centred, uncorrelated
    assert spectrum_slope(signs * scales) == pytest.approx(1.5)
    same = torch.ones(6, 4)
    assert rankme(same) == pytest.approx(1, abs=1e-4)
    assert spectrum_slope(same) is None
    assert uniformity(same) == pytest.approx(0)
    assert uniformity(torch.tensor([[1.0], [-2.0]])) == pytest.approx(-8)
