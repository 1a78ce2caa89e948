"""Scores of maps against masks: by definition, and at both ends."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from harness.metrics.maps import auc_inside, top_inside, top_weights


@pytest.fixture
def mask():
    return np.random.default_rng(0).random((4, 5, 6)) < 0.3


def test_auc_is_mann_whitney_with_ties(mask):
    values = np.random.default_rng(1).integers(0, 4, mask.shape) / 4
    inside, outside = values[mask], values[~mask]
    expected = mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside))
    assert auc_inside(values, mask) == pytest.approx(expected)


def test_the_mask_itself_is_perfect_and_a_constant_is_chance(mask):
    assert auc_inside(mask.astype(float), mask) == 1
    assert top_inside(mask.astype(float), mask) == 1
    constant = np.full(mask.shape, 0.7)
    assert auc_inside(constant, mask) == 0.5
    assert top_inside(constant, mask) == pytest.approx(mask.mean())


def test_top_voxels_are_those_of_a_plain_loop(mask):
    values = np.random.default_rng(2).permutation(mask.size).reshape(mask.shape) + 1.0
    ranked = sorted(zip(values.flat, mask.flat, strict=True), reverse=True)[:12]
    assert top_weights(values).sum() == pytest.approx(12)
    inside = sum(value for value, own in ranked if own)
    expected = inside / sum(value for value, _ in ranked)
    assert top_inside(values, mask) == pytest.approx(expected)


@pytest.mark.parametrize("whole", [np.zeros(8, bool), np.ones(8, bool)])
def test_without_both_sides_there_is_no_score(whole):
    assert auc_inside(np.arange(8.0), whole) is None
    assert top_inside(np.arange(8.0), whole) is None
