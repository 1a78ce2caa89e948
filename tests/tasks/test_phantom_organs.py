"""The phantom organs: anatomy, physics, too hard for a threshold, not for a net."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from harness.volumes.painting import majority_blocks, mean_blocks
from tasks import phantom_organs as organs

from .conftest import load_spec

NAMES = list(load_spec("phantom_organs").structures)
LARGE = ("liver", "spleen", "kidney_right", "kidney_left", "stomach")
# Chosen on the validation cases: 200 and 300 steps both pass 0.8 there with three seeds
# out of three, 300 by more (worst structure: stomach, 0.812 and 0.818).
STEPS = 300


def overlap(pred, truth):
    return 2 * (pred & truth).sum() / (pred.sum() + truth.sum())


@pytest.fixture(scope="module")
def sides(make_case):
    """All training cases and half of the test cases, made."""
    refs = organs.cases(0)
    train = [ref for ref in refs if ref.side == "train"]
    test = [ref for ref in refs if ref.side == "test"][::2]
    return [[make_case("phantom_organs", r, 0) for r in part] for part in (train, test)]


def test_a_tumour_is_absent_in_some_cases_and_inside_the_liver(sides):
    present = 0
    for raw in sides[0]:
        tumour = raw.label == organs.TUMOUR
        if not tumour.any():
            continue
        present += 1
        rim = ndimage.binary_dilation(tumour) & ~tumour
        assert np.mean(raw.label[rim] == organs.LIVER) > 0.4
    assert 0.35 < present / len(sides[0]) < 0.85


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_share_of_tumours_is_a_setting(share, expected):
    for case in organs.cases(1, train=2, val=0, test=0, tumours=share):
        raw = organs.make(case, 1, tumours=share, train=2)
        assert (raw.label == organs.TUMOUR).any() == expected


def test_spacing_is_anisotropic_and_varies(sides):
    spacing = np.array([np.diag(raw.affine)[:3] for part in sides for raw in part])
    assert np.all(spacing[:, 2] > 1.2 * spacing[:, 0])
    assert np.all(spacing.std(0) > 0.05)
    assert np.array_equal(spacing[:, 0], spacing[:, 1])


def test_the_body_lies_inside_the_image(sides):
    """Air all round in plane; no labelled organ is cut by the first or last slice."""
    for raw in sides[0]:
        for axis in (0, 1):
            edges = np.take(raw.image[0], [0, -1], axis)
            assert np.median(edges) < -900
        ends = np.unique(raw.label[:, :, [0, -1]])
        assert set(ends.tolist()) <= {0, organs.AORTA, organs.CAVA}


def test_sides_of_the_body_are_right(sides):
    """In RAS the first axis grows to the patient's right, where the liver lies."""
    for raw in sides[1]:
        middle = {n: np.mean(np.nonzero(raw.label == i + 1), 1) for i, n in
                  enumerate(NAMES[:9])}  # fmt: skip
        assert middle["liver"][0] > middle["vena_cava"][0] > middle["aorta"][0]
        assert middle["aorta"][0] > middle["spleen"][0]
        assert middle["kidney_right"][0] > middle["kidney_left"][0]
        assert middle["stomach"][1] > middle["kidney_left"][1]


def test_intensities_of_organs_overlap(sides):
    """More than a fifth of two histograms in common for most pairs of soft organs."""
    soft = [1, 2, 3, 4, 7, 8, 9]
    hu = {k: np.concatenate([r.image[0][r.label == k] for r in sides[0]]) for k in soft}
    bins = np.arange(-200, 400, 10)
    share = {k: np.histogram(v, bins)[0] / v.size for k, v in hu.items()}
    common = [np.minimum(share[a], share[b]).sum() for a, b in combinations(soft, 2)]
    assert np.mean(np.array(common) > 0.2) > 0.8


def test_edges_are_mixed_by_partial_volume():
    """Without noise and texture, voxels between liver and lung lie between the two."""
    rng = np.random.default_rng(0)
    scene = organs.Scene.draw(rng)
    scene.canvas.value[:] = -800
    scene.canvas.fill(organs.Ball((0, 0, 0), (40, 40, 40)), 100, organs.LIVER)
    mean = mean_blocks(scene.canvas.value, organs.FINE)
    mixed = (mean > -790) & (mean < 90)
    label = majority_blocks(scene.canvas.label, organs.FINE, organs.LABELS)
    surface = ndimage.binary_dilation(label > 0) ^ ndimage.binary_erosion(label > 0)
    assert mixed.sum() > 500
    assert not mixed[~surface].any()


def test_noise_is_correlated_between_neighbours(sides):
    """In the air of the corner, clipping aside, and in the liver's inside."""
    raw = sides[0][0]
    inside = ndimage.binary_erosion(raw.label == organs.LIVER, iterations=2)
    hu = raw.image[0] - raw.image[0][inside].mean()
    assert 8 < hu[inside].std() < 35
    pairs = inside[1:] & inside[:-1]
    together = np.mean(hu[1:][pairs] * hu[:-1][pairs]) / hu[inside].var()
    assert together > 0.2


def best_intervals(cases, bins):
    """The interval of HU with the best Dice over all training voxels, per structure."""
    counts = np.zeros((len(NAMES) + 1, len(bins) - 1))
    for hu, label in cases:
        for k in range(len(NAMES) + 1):
            counts[k] += np.histogram(hu[label == k], bins)[0]
    below = np.pad(counts.cumsum(1), ((0, 0), (1, 0)))
    for k in range(1, len(NAMES) + 1):
        hit = below[k][None] - below[k][:, None]
        taken = below.sum(0)[None] - below.sum(0)[:, None]
        dice = np.triu(2 * hit / np.maximum(taken + counts[k].sum(), 1), 1)
        low, high = np.unravel_index(dice.argmax(), dice.shape)
        yield k, bins[low], bins[high]


@pytest.mark.parametrize("median", [1, 3])
def test_a_threshold_fails_on_most_structures(sides, median):
    """Best HU interval and largest component, with or without a median filter first."""
    train, test = (
        [(ndimage.median_filter(r.image[0], median), r.label) for r in part[:20]]
        for part in sides
    )
    scores = {}
    for k, low, high in best_intervals(train, np.arange(-200, 401, 5)):
        dice = []
        for hu, label in test:
            if not (label == k).any():
                continue
            parts, _ = ndimage.label((hu >= low) & (hu < high))
            largest = np.bincount(parts.ravel(), minlength=2)[1:].argmax() + 1
            dice.append(overlap(parts == largest, label == k))
        scores[NAMES[k - 1]] = float(np.mean(dice))
    assert sum(score < 0.6 for score in scores.values()) >= 5, scores
    assert scores["spleen"] < 0.6
    assert scores["kidney_left"] < 0.6


class SmallUNet(nn.Module):
    """Three levels, 170,000 parameters."""

    def __init__(self, width, classes):
        super().__init__()
        w = width
        self.first, self.last = _block(1, w), _block(3 * w, w)
        self.down = nn.Sequential(_block(w, 2 * w), _block(2 * w, 2 * w))
        self.deep = nn.Sequential(_block(2 * w, 4 * w), _block(4 * w, 4 * w, 2))
        self.up = _block(6 * w, 2 * w)
        self.out = nn.Conv3d(w, classes, 1)

    def forward(self, x):
        a = self.first(x)
        b = self.down(F.max_pool3d(a, 2))
        c = self.deep(F.max_pool3d(b, 2))
        b = self.up(torch.cat([F.interpolate(c, scale_factor=2), b], 1))
        return self.out(self.last(torch.cat([F.interpolate(b, scale_factor=2), a], 1)))


def _block(inputs, outputs, dilation=1):
    conv = nn.Conv3d(inputs, outputs, 3, padding=dilation, dilation=dilation)
    norm = nn.InstanceNorm3d(outputs, affine=True)
    return nn.Sequential(conv, norm, nn.LeakyReLU(0.1))


def halved(part):
    """Images (N, 1, 36, 28, 20) in [0, 1] and labels (N, 36, 28, 20)."""
    images = np.stack([mean_blocks(raw.image[0], 2) for raw in part])
    labels = np.stack([majority_blocks(raw.label, 2, organs.LABELS) for raw in part])
    unit = np.clip((images + 175) / 425, 0, 1)[:, None]
    return torch.from_numpy(unit), torch.from_numpy(labels.astype(np.int64))


def objective(logits, truth):
    hot = F.one_hot(truth, organs.LABELS).movedim(-1, 1)
    p, axes = logits.softmax(1), (0, 2, 3, 4)
    dice = (2 * (p * hot).sum(axes) + 0.1) / (p.sum(axes) + hot.sum(axes) + 0.1)
    return F.cross_entropy(logits, truth) + 1 - dice[1:].mean()


def trained(images, labels, *, steps, seed):
    """A small U-Net after `steps` of batch 2; every initial number comes from `seed`."""
    rng = torch.Generator().manual_seed(seed)
    net = SmallUNet(12, organs.LABELS)
    for weight in net.parameters():
        if weight.ndim > 1:
            nn.init.kaiming_normal_(weight, a=0.1, generator=rng)
    for part in net.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.zeros_(part.bias)  # by default from the unseeded global stream
    adam = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 0.02, total_steps=steps)
    for _ in range(steps):
        batch = torch.randperm(len(images), generator=rng)[:2]
        adam.zero_grad()
        objective(net(images[batch]), labels[batch]).backward()
        adam.step()
        rate.step()
    return net


def scores_of(net, images, truth):
    """Mean Dice of each structure over the cases that have it."""
    with torch.no_grad():
        found = net(images).argmax(1).numpy()
    truth = truth.numpy()
    return {
        name: float(np.mean([
            overlap(p == k, t == k) for p, t in zip(found, truth, strict=True)
            if (t == k).any()
        ]))
        for k, name in enumerate(NAMES, 1)
    }  # fmt: skip


def test_a_small_unet_learns_the_large_structures(sides):
    """At half resolution, mean Dice above 0.8 on each, on cases not trained on."""
    (images, labels), (unseen, truth) = (halved(part) for part in sides)
    net = trained(images, labels, steps=STEPS, seed=0)
    scores = scores_of(net, unseen, truth)
    assert min(scores[name] for name in LARGE) > 0.8, scores


def test_voxels_have_not_changed_without_a_new_version(sides):
    """If this fails on purpose, raise VERSION and write the new figures here."""
    assert organs.VERSION == 1
    raw = sides[0][0]
    assert raw.image.shape == (1, *organs.SHAPE)
    count = np.bincount(raw.label.ravel(), minlength=organs.LABELS)
    assert count[1:] == pytest.approx(
        [5596, 1294, 499, 552, 2425, 88, 107, 587, 587, 50], abs=3
    )
    assert raw.image.mean() == pytest.approx(-514.51, abs=0.3)
