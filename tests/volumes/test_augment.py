from __future__ import annotations

import pytest
import torch

from harness.volumes.augment import augment, planes_to_turn


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    """Images whose voxels are all different, and labels that name them."""
    images = torch.rand((16, 2, 6, 6, 4), generator=generator(5))
    labels = (images[:, 0] * 255).to(torch.uint8)
    return images, labels


def named(images):
    return (images[:, 0] * 255).to(torch.uint8)


def symmetries(image, planes):
    """All flips and quarter turns of (C, D, H, W), by hand."""
    found = [image]
    for axis in (1, 2, 3):
        found += [one.flip(axis) for one in found]
    for a, b in planes:
        found += [
            one.rot90(k, (1 + a, 1 + b)) for one in list(found) for k in (1, 2, 3)
        ]
    return found


def test_labels_follow_and_channels_stay_together(batch):
    images, labels = batch
    out, moved = augment(images, labels, generator(), flip=0.5, rotate=0.7)
    assert out.shape == images.shape
    assert torch.equal(moved, named(out))
    known = 0
    for before, after in zip(images, out, strict=True):
        same = [torch.equal(one, after) for one in symmetries(before, [(0, 1)])]
        assert any(same)
        known += not torch.equal(before, after)
    assert known > 8


def test_probability_0_and_1(batch):
    images, labels = batch
    out, moved = augment(images, labels, generator())
    assert torch.equal(out, images)
    assert torch.equal(moved, labels)
    out, moved = augment(images, labels, generator(), flip=1.0)
    assert torch.equal(out, images.flip(2, 3, 4))
    assert torch.equal(moved, labels.flip(1, 2, 3))


def test_shares_are_as_asked():
    images = torch.rand((2000, 1, 2, 2, 2), generator=generator(1))
    flipped, _ = augment(images, None, generator(), flip=0.3)
    same = (flipped == images).flatten(1).all(1).float().mean().item()
    assert same == pytest.approx(0.7**3, abs=0.04)
    turned, _ = augment(images, None, generator(), rotate=0.2)
    same = (turned == images).flatten(1).all(1).float().mean().item()
    assert same == pytest.approx(0.8, abs=0.03)
    kinds = {
        next(
            (plane, k)
            for plane in ((2, 3), (2, 4), (3, 4))
            for k in (1, 2, 3)
            if torch.equal(before.rot90(k, [p - 1 for p in plane]), after)
        )
        for before, after in zip(images, turned, strict=True)
        if not torch.equal(before, after)
    }
    assert len(kinds) == 9


def test_only_equal_planes_are_turned():
    assert planes_to_turn((8, 8, 8), (1, 1, 1)) == ((0, 1), (0, 2), (1, 2))
    assert planes_to_turn((8, 8, 8), (1, 1, 3)) == ((0, 1),)
    assert planes_to_turn((8, 8, 4), (1, 1, 1)) == ((0, 1),)
    assert planes_to_turn((8, 6, 8), (1, 1, 1)) == ((0, 2),)
    assert planes_to_turn((8, 6, 4), (1, 1, 1)) == ()
    images = torch.rand((4, 1, 6, 5, 4), generator=generator(1))
    out, _ = augment(images, None, generator(), rotate=1.0)
    assert torch.equal(out, images)


def test_scale_and_shift_leave_labels_alone(batch):
    images, labels = batch
    out, moved = augment(images, labels, generator(), scale_shift=1.0, amount=0.1)
    assert torch.equal(moved, labels)
    for before, after in zip(images, out, strict=True):
        x, y = before.flatten().double(), after.flatten().double()
        scale = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
        shift = y.mean() - scale * x.mean()
        assert torch.allclose(y, scale * x + shift, atol=1e-6)
        assert 0.9 <= scale <= 1.1
        assert -0.1 <= shift <= 0.1
    never, _ = augment(images, labels, generator(), scale_shift=1e-9)
    assert torch.equal(never, images)


def test_the_generator_decides_and_parts_do_not_shift_each_other(batch):
    images, labels = batch
    torch.rand(3)
    one, _ = augment(
        images, labels, generator(3), flip=0.5, rotate=0.5, scale_shift=0.5
    )
    two, _ = augment(
        images, labels, generator(3), flip=0.5, rotate=0.5, scale_shift=0.5
    )
    assert torch.equal(one, two)
    # Splitting the parts over two calls with the same draws gives the same flips.
    flips, _ = augment(images, labels, generator(3), flip=0.5)
    both, _ = augment(flips, labels, generator(3), rotate=0.5)
    whole, _ = augment(images, labels, generator(3), flip=0.5, rotate=0.5)
    assert torch.equal(both, whole)
    other, _ = augment(images, labels, generator(4), flip=0.5)
    assert not torch.equal(other, flips)


def test_images_are_turned_in_their_one_plane():
    images = torch.rand((24, 3, 6, 6), generator=generator(5))
    labels = named(images)
    out, moved = augment(images, labels, generator(), flip=0.5, rotate=0.7)
    assert torch.equal(moved, named(out))
    for before, after in zip(images, out, strict=True):
        flips = [before, before.flip(1), before.flip(2), before.flip(1, 2)]
        turns = [one.rot90(k, (1, 2)) for one in flips for k in range(4)]
        assert any(torch.equal(one, after) for one in turns)
    oblong = torch.rand((24, 1, 6, 8), generator=generator(5))
    still, _ = augment(oblong, None, generator(), rotate=1.0)
    assert torch.equal(still, oblong)
    uneven, _ = augment(images, None, generator(), rotate=1.0, spacing=(1.0, 2.0))
    assert torch.equal(uneven, images)
    scaled, _ = augment(images, None, generator(), scale_shift=1.0)
    ratio = (scaled[:, 0] - scaled[:, 1]) / (images[:, 0] - images[:, 1])
    assert (ratio.amax((1, 2)) - ratio.amin((1, 2))).max() < 1e-2
