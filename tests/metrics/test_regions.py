from functools import partial

import numpy as np

from harness.metrics import regions
from harness.metrics.overlap import dice
from harness.metrics.surface import hd95
from harness.schema.scores import Score

BRATS = [(1, 3), (1, 2, 3), (3,)]  # core, whole, enhancing


def test_masks_are_unions_of_structures():
    label = np.array([[0, 1], [2, 3]], np.uint8)
    found = regions.masks(label, BRATS)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 1], [0, 1]], [[0, 1], [1, 1]], [[0, 0], [0, 1]]]


def test_each_region_is_scored_as_if_it_were_alone():
    rng = np.random.default_rng(0)
    pred, truth = rng.integers(0, 4, (2, 9, 8, 7)).astype(np.uint8)
    both = [regions.masks(labels, BRATS) for labels in (pred, truth)]
    found = regions.each(partial(dice, classes=2), *both)
    for score, values in zip(found, BRATS, strict=True):
        p, t = np.isin(pred, values), np.isin(truth, values)
        assert score.value == 2 * (p & t).sum() / (p.sum() + t.sum())
    far = regions.each(partial(hd95, classes=2, spacing=(1, 2, 3)), *both)
    assert all(score.value is not None for score in far)


def test_a_region_may_be_empty_where_others_are_not():
    pred = np.zeros((3, 4, 4), np.uint8)
    truth = np.zeros_like(pred)
    truth[1, 2, 2] = pred[2, 1, 1] = 1
    assert regions.each(partial(dice, classes=2), pred, truth) == [
        Score(None, "both_empty"), Score(0.0, "pred_empty"), Score(0.0, "gt_empty"),
    ]  # fmt: skip


def test_pictures_show_the_smallest_region_of_a_voxel():
    label = np.array([0, 2, 1, 3], np.uint8)
    assert regions.painted(regions.masks(label, BRATS)).tolist() == [0, 2, 1, 3]
