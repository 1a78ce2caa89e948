"""Corruptions against per-sample loops, hand-computed cases and what must not change."""

import numpy as np
import pytest
import torch

from harness.nn.corrupt import (
    a_few,
    boxes,
    cut_out,
    draw_boxes,
    remap,
    shuffle_locally,
)
from harness.nn.draws import Share, share


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sides", [(20, 30), (20, 30, 10)])
def test_shuffling_permutes_inside_small_windows_only(sides):
    count = int(np.prod(sides))
    # A voxel's value is its place, so where each came from can be read off.
    x = torch.arange(float(count)).view(1, 1, *sides).repeat(3, 2, *[1] * len(sides))
    once = shuffle_locally(x, rng(), passes=1)
    assert torch.equal(once[:, 0], once[:, 1])
    assert not torch.equal(once[0], once[1])
    for sample in once[:, 0]:
        came_from = np.array(np.unravel_index(sample.flatten().long().numpy(), sides))
        stayed = np.indices(sides).reshape(len(sides), -1)
        for axis, side in enumerate(sides):
            moved = np.abs(came_from - stayed)[axis].max()
            assert moved <= max(1, int(0.1 * side)) - 1
        assert sorted(sample.flatten().tolist()) == list(range(count))
        assert (came_from != stayed).any(axis=0).mean() > 0.3


def test_shuffling_leaves_windows_of_one_voxel_alone():
    x = torch.rand(2, 1, 6, 6, generator=rng())
    assert torch.equal(shuffle_locally(x, rng(1), share=0.1), x)


def plain_curve(controls, knots=256):
    (x1, y1), (x2, y2) = controls
    t = np.linspace(0, 1, knots)
    u = 3 * t * (1 - t) ** 2 * x1 + 3 * t**2 * (1 - t) * x2 + t**3
    v = 3 * t * (1 - t) ** 2 * y1 + 3 * t**2 * (1 - t) * y2 + t**3
    return np.sort(u), np.sort(v)


def test_remapping_equals_numpys_interpolation_per_sample():
    controls = torch.rand(3, 2, 2, generator=rng(), dtype=torch.float64)
    x = torch.rand(3, 1, 5, 6, generator=rng(1), dtype=torch.float64)
    falling = torch.tensor([False, True, False])
    found = remap(x, controls, falling)
    for i in range(3):
        u, v = plain_curve(controls[i].tolist())
        want = np.interp(x[i].numpy(), u, 1 - v if falling[i] else v)
        np.testing.assert_allclose(found[i].numpy(), want, atol=1e-9)


def test_a_straight_curve_maps_intensities_to_themselves():
    third = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]], dtype=torch.float64)
    x = torch.tensor([[[0.0, 0.2, 0.5, 1.0]]], dtype=torch.float64)
    assert torch.allclose(remap(x, third, torch.tensor([False])), x)
    assert torch.allclose(remap(x, third, torch.tensor([True])), 1 - x)


def test_boxes_equal_a_loop_over_boxes():
    sides = (7, 5, 6)
    start, length = draw_boxes(3, 4, sides, 0.2, 0.6, rng())
    alive = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]]).bool()
    want = torch.zeros(3, 1, *sides, dtype=torch.bool)
    for i in range(3):
        for n in range(4):
            if alive[i, n]:
                (a, b, c), (p, q, r) = start[i, n].tolist(), length[i, n].tolist()
                want[i, 0, a : a + p, b : b + q, c : c + r] = True
    assert torch.equal(boxes(start, length, alive, sides), want)


def test_one_box_by_hand():
    mask = boxes(
        torch.tensor([[[1, 0]]]),
        torch.tensor([[[1, 2]]]),
        torch.tensor([[True]]),
        (3, 2),
    )
    assert mask.int().tolist() == [[[[0, 0], [1, 1], [0, 0]]]]


def test_drawn_boxes_lie_inside_and_have_the_stated_sides():
    sides = (40, 24)
    start, length = draw_boxes(200, 5, sides, 1 / 6, 1 / 3, rng())
    assert (start >= 0).all()
    assert (start + length <= torch.tensor(sides)).all()
    for axis, side in enumerate(sides):
        assert length[..., axis].min() == round(side / 6)
        assert length[..., axis].max() == round(side / 3)
        assert start[..., axis].min() == 0


def test_boxes_come_one_by_one():
    alive = a_few(4000, 5, 0.5, rng())
    assert alive[:, 0].all()
    assert (alive[:, 1:] <= alive[:, :-1]).all()
    assert alive[:, 2].float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_cutting_out_covers_at_most_its_share_and_varies():
    mask = cut_out(64, (40, 40, 40), rng())
    shares = mask.flatten(1).float().mean(dim=1)
    assert shares.max() <= 0.3
    assert shares.max() > 0.15
    assert shares.min() < 0.05


def test_two_shares_of_a_batch_are_corrupted_as_the_whole():
    x = torch.rand(4, 1, 20, 20, generator=rng())

    def corrupt(part):
        g = rng(5)
        return shuffle_locally(part, g), cut_out(len(part), part.shape[2:], g)

    whole = corrupt(x)
    for index in range(2):
        with share(Share(index, 2, 2)):
            rows = slice(2 * index, 2 * index + 2)
            for part, all_ in zip(corrupt(x[rows]), whole, strict=True):
                assert torch.equal(part, all_[rows])
