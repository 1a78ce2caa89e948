"""Each change of views on its own: its range, its draws, and what it must not touch."""

import math

import pytest
import torch

from harness.nn.augmentation import (
    Augmentation,
    augment,
    random_ringing,
    random_rotation,
    random_sharpening,
    shift_histogram,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def views(*shape, seed=1):
    return torch.rand(shape, generator=rng(seed))


@pytest.mark.parametrize("dims", [2, 3])
def test_everything_at_once_keeps_shape_and_range_and_follows_the_seed(dims):
    how = Augmentation(
        flip=0.5, rotate=0.5, intensity=1.0, blur_or_sharpen=1.0, blur=0.5, gibbs=0.5
    )
    x = views(6, 2, *(8,) * dims)
    one, again, other = (augment(x, how, rng(s)) for s in (3, 3, 4))
    assert one.shape == x.shape
    assert one.min() >= 0
    assert one.max() <= 1
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(augment(x, Augmentation(), rng()), x)


def test_views_are_changed_one_by_one():
    x = views(1, 1, 8, 8, 8).expand(12, 1, 8, 8, 8)
    flipped = augment(x, Augmentation(flip=0.5), rng())
    kinds = {tuple(v.flatten().tolist()) for v in flipped}
    assert 4 < len(kinds) <= 8
    allowed = [
        x[0].flip(a) for a in ([], [1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3])
    ]
    assert all(any(torch.equal(v, a) for a in allowed) for v in flipped)


def test_rotations_are_quarter_turns_and_need_equal_sides():
    x = views(40, 1, 4, 4)
    turned = random_rotation(x, 0.75, rng())
    counts = [0] * 4
    for before, after in zip(x, turned, strict=True):
        found = [torch.equal(before.rot90(k, (1, 2)), after) for k in range(4)]
        counts[found.index(True)] += 1
    assert all(count >= 4 for count in counts)
    oblong = views(20, 1, 4, 6)
    for before, after in zip(oblong, random_rotation(oblong, 1.0, rng()), strict=True):
        assert torch.equal(before.rot90(2, (1, 2)), after)


def slow_shift(x, values):
    """Interpolate on equal steps, one voxel at a time."""
    steps = len(values) - 1
    low = min(int(x * steps), steps - 1)
    return values[low] + (values[low + 1] - values[low]) * (x * steps - low)


def test_histogram_shift_is_a_rising_line_through_its_points():
    x = torch.linspace(0, 1, 61).expand(5, 1, 61).clone()
    y = shift_histogram(x, 4, rng(2))
    assert (y.diff(dim=2) >= 0).all()
    assert torch.equal(y[:, 0, 0], torch.zeros(5))
    torch.testing.assert_close(y[:, 0, -1], torch.ones(5))
    for b in range(5):
        values = [y[b, 0, place].item() for place in (0, 20, 40, 60)]
        want = [slow_shift(v, values) for v in x[b, 0].tolist()]
        assert y[b, 0].tolist() == pytest.approx(want, abs=1e-5)
    assert len({round(v, 6) for v in y[:, 0, 20].tolist()}) == 5


def test_sharpening_sharpens_an_edge():
    x = torch.zeros(2, 1, 16, 16)
    x[..., 8:] = 0.5
    x += 0.25
    sharp = random_sharpening(x, rng())
    assert sharp[..., 6:10].diff(dim=-1).abs().max() > x.diff(dim=-1).abs().max()
    flat = torch.full((1, 1, 8, 8), 0.3)
    torch.testing.assert_close(random_sharpening(flat, rng()), flat)


def test_ringing_keeps_slow_waves_and_cuts_fast_ones():
    place = torch.arange(16.0)
    slow = 0.5 + 0.4 * torch.cos(2 * math.pi * place / 16)  # 1/8 of the highest
    fast = 0.5 + 0.4 * torch.cos(math.pi * place)  # the highest
    kept = random_ringing(slow.view(1, 1, 16).expand(1, 1, 16), (0.5, 0.5), rng())
    torch.testing.assert_close(kept[0, 0], slow)
    gone = random_ringing(fast.view(1, 1, 16), (0.5, 0.5), rng())
    torch.testing.assert_close(gone[0, 0], torch.full((16,), 0.5))


def test_probabilities_are_kept():
    x = views(400, 1, 4, 4)
    y = augment(x, Augmentation(blur=0.3), rng())
    changed = (x != y).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(0.3, abs=0.07)
    y = augment(x, Augmentation(intensity=0.8), rng())
    changed = ((x - y).abs() > 1e-9).flatten(1).any(dim=1).float().mean().item()
    assert changed == pytest.approx(0.8, abs=0.07)
