"""Random resized crops against a plain trilinear loop; their sizes and places."""

import itertools
import math

import pytest
import torch
from pydantic import ValidationError

from harness.api import resolve
from harness.nn import views
from harness.nn.views import crop_boxes, resized_crop
from tests.methods.conftest import kind


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_crop(volume, share, start, size):
    """Read each output voxel's centre from `volume` (nested lists by tensor), linearly."""
    out = torch.zeros(size)
    sides = volume.shape
    for place in itertools.product(*(range(s) for s in size)):
        spots = []
        for axis, i in enumerate(place):
            spot = (start[axis] + (i + 0.5) / size[axis] * share[axis]) * sides[
                axis
            ] - 0.5
            spots.append(min(max(spot, 0), sides[axis] - 1))
        total = 0.0
        for corner in itertools.product((0, 1), repeat=len(size)):
            weight, index = 1.0, []
            for spot, up, side in zip(spots, corner, sides, strict=True):
                low = math.floor(spot)
                weight *= (spot - low) if up else 1 - (spot - low)
                index.append(min(low + up, side - 1))
            total += weight * volume[tuple(index)].item()
        out[place] = total
    return out


@pytest.mark.parametrize(("sides", "size"), [((6, 8, 5), (4, 3, 7)), ((9, 6), (4, 8))])
def test_a_crop_equals_a_plain_loop_with_its_axes_in_order(sides, size):
    region = torch.rand(2, 1, *sides, generator=rng(1), dtype=torch.float64)
    how = {"scale": (0.2, 0.6), "aspect": (0.5, 2.0)}
    found = resized_crop(region, size, rng(5), **how)
    share, start = crop_boxes(2, len(sides), rng(5), **how)
    for b in range(2):
        want = slow_crop(region[b, 0], share[b].tolist(), start[b].tolist(), size)
        torch.testing.assert_close(found[b, 0], want.double(), atol=1e-5, rtol=1e-4)


def test_a_whole_crop_of_equal_size_is_the_region(monkeypatch):
    region = torch.rand(2, 3, 5, 6, 7, generator=rng())
    whole = torch.ones(2, 3), torch.zeros(2, 3)
    monkeypatch.setattr(views, "crop_boxes", lambda *_, **__: whole)
    found = resized_crop(region, (5, 6, 7), rng(), scale=(1.0, 1.0))
    torch.testing.assert_close(found, region)


@pytest.mark.parametrize("dims", [2, 3])
def test_shares_have_the_volume_and_proportions_asked_for(dims):
    share, start = crop_boxes(
        2000, dims, rng(), scale=(0.05, 0.3), aspect=(0.75, 4 / 3)
    )
    volume = share.prod(dim=1)
    assert volume.min() >= 0.0499
    assert volume.max() <= 0.3001
    assert volume.mean().item() == pytest.approx(0.175, abs=0.01)
    ratio = share[:, 1] / share[:, 0]
    assert ratio.min() >= 0.7499
    assert ratio.max() <= 1.3334
    assert start.min() >= 0
    assert (start + share).max() <= 1.0001


def test_the_slice_axis_is_cut_on_its_own():
    share, _ = crop_boxes(
        2000, 3, rng(), scale=(0.48, 1.0), aspect=(0.9, 1.11), through=(0.5, 1.0)
    )
    area = share[:, 0] * share[:, 1]
    assert 0.45 < area.min() < area.max() <= 1
    assert share[:, 2].min() >= 0.5
    assert share[:, 2].mean().item() == pytest.approx(0.75, abs=0.02)
    together = torch.stack([area, share[:, 2]])
    assert abs(torch.corrcoef(together)[0, 1].item()) < 0.1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"local_crop": (17, 16, 16)}, "the nearest to 17 is 16"),
        ({"local_crop": (48, 16, 16)}, "the nearest to 48 is 32"),
        ({"local_scale": (0.4, 0.1)}, "0 < low <= high"),
        ({"prototypes": 1}, "the nearest is 2"),
        ({"batch": 1}, "the nearest is 2"),
    ],
)
def test_views_that_cannot_be_cut_are_refused(overrides, words):
    with pytest.raises(ValidationError, match=words):
        resolve(kind("dino").Settings, "tiny", overrides)


def test_large_views_come_first_view_by_view_then_the_small():
    settings = resolve(
        kind("dino").Settings,
        "tiny",
        {"augmentation": {"flip": 0, "intensity": 0, "blur": 0}, "local_crops": 3},
    )
    region = torch.zeros(2, 1, 40, 40, 40)
    region[1] = 1
    large, small = settings.cut_views(region, rng())
    assert large.shape == (4, 1, 32, 32, 32)
    assert small.shape == (6, 1, 16, 16, 16)
    assert large.mean(dim=(1, 2, 3, 4)).tolist() == pytest.approx([0, 1, 0, 1])
    assert small.mean(dim=(1, 2, 3, 4)).tolist() == pytest.approx([0, 1] * 3)
