"""VoCo: overlaps, the three terms against loops and by hand, and the crops."""

import math

import pytest
import torch

from harness.api import resolve
from methods.voco import overlaps, voco_terms

from .conftest import kind, rng, tiny


def test_overlaps_are_the_shares_of_volume_and_sum_to_one():
    grid, base = (1, 2, 3), (4, 6, 5)
    start = torch.tensor([[[0, 3, 7], [0, 0, 10], [0, 6, 0]]])
    y = overlaps(start, grid, base)
    for t, place in enumerate(start[0].tolist()):
        target = torch.zeros(4, 12, 15)
        a, b, c = place
        target[a : a + 4, b : b + 6, c : c + 5] = 1
        n = 0
        for j in range(2):
            for k in range(3):
                inside = target[:, 6 * j : 6 * j + 6, 5 * k : 5 * k + 5].sum() / 120
                assert y[0, t, n].item() == pytest.approx(inside.item())
                n += 1
    assert torch.allclose(y.sum(dim=-1), torch.ones(1, 3))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def test_the_terms_equal_plain_loops():
    g = rng()
    t, n = (torch.randn(2, k, 5, generator=g, dtype=torch.float64) for k in (3, 4))
    y = torch.rand(2, 3, 4, generator=g, dtype=torch.float64)
    y[y < 0.4] = 0
    pos = weight = neg = zeros = reg = pairs = 0.0
    for b in range(2):
        for i in range(3):
            for j in range(4):
                p = max(0.0, cosine(t[b, i].tolist(), n[b, j].tolist()))
                share = y[b, i, j].item()
                pos -= share * math.log(1 - abs(share - p) + 1e-6)
                weight += share
                neg += p * p * (share == 0)
                zeros += share == 0
        for i in range(4):
            for j in range(4):
                if i != j:
                    reg += max(0.0, cosine(n[b, i].tolist(), n[b, j].tolist())) ** 2
                    pairs += 1
    found = [each.item() for each in voco_terms(t, n, y)]
    assert found == pytest.approx([pos / weight, neg / zeros, reg / pairs])


def test_the_terms_by_hand():
    eye = torch.eye(2).unsqueeze(0)
    # Targets equal to their bases, bases orthogonal: nothing is left but 1e-6.
    pos, neg, reg = (each.item() for each in voco_terms(eye, eye, eye))
    assert pos == pytest.approx(-math.log(1 + 1e-6), abs=1e-7)
    assert neg == reg == 0
    # Each target equal to the other's base: p = 0 where y = 1, p = 1 where y = 0.
    pos, neg, reg = (each.item() for each in voco_terms(eye.flip(1), eye, eye))
    assert pos == pytest.approx(-math.log(1e-6), rel=1e-3)
    assert neg == pytest.approx(1)
    # Bases alike: reg is 1.
    same = torch.ones(1, 2, 2)
    assert voco_terms(eye, same, eye)[2].item() == pytest.approx(1)


def test_crops_are_cut_where_they_are_said_to_be():
    method = tiny("voco", base=(16, 16, 16), region=(16, 32, 32))
    volumes = torch.rand(2, 1, 16, 32, 32, generator=rng())
    start = torch.tensor([[[0, 3, 7], [0, 16, 16]], [[0, 0, 0], [0, 5, 1]]])
    targets, bases = method._cut(volumes, start), method._bases(volumes)
    assert torch.equal(targets[0], volumes[0, :, :, 3:19, 7:23])
    assert torch.equal(targets[3], volumes[1, :, :, 5:21, 1:17])
    assert torch.equal(bases[1], volumes[0, :, :, :16, 16:])
    assert torch.equal(bases[6], volumes[1, :, :, 16:, :16])
    assert torch.equal(targets[1], bases[3])


def test_places_stay_inside_the_region():
    method = tiny("voco")
    start = method._places(200, rng())
    assert start.amin(dim=(0, 1)).tolist() == [0, 0, 0]
    assert start.amax(dim=(0, 1)).tolist() == [0, 20, 20]


def test_a_grid_that_does_not_fill_the_region_is_refused():
    settings = kind("voco").Settings
    with pytest.raises(ValueError, match=r"grid x base = \(20, 40, 40\)"):
        resolve(settings, "tiny", {"region": (40, 40, 40)})
    with pytest.raises(ValueError, match="one base crop tells nothing"):
        resolve(settings, "tiny", {"grid": (1, 1, 1), "region": (20, 20, 20)})
