"""Rank correlations of a quantity with scores against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from harness.analyse.transfer import kendall, predicted, spearman


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_one_block_has_the_coefficients_of_scipy_with_ties_too():
    x, y = _rng().integers(0, 4, (2, 9)).astype(float)
    a, b = x[None, None], y[None, None]
    assert spearman(a, b)[0] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(a, b)[0] == pytest.approx(stats.kendalltau(x, y).statistic)


def test_pooled_coefficients_look_within_blocks_alone():
    """The easier task's scores are all higher, which across blocks would be an order."""
    x = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    y = np.array([[0.1, 0.2, 0.4, 0.3], [0.9, 0.8, 0.7, 0.6]])
    # Σ r s: 4 of 5 in the first (1 - 6·2/60 = 0.8), -5 of 5 in the second
    assert spearman(x[None], y[None])[0] == pytest.approx((4 - 5) / 10)
    assert kendall(x[None], y[None])[0] == pytest.approx((4 - 6) / 12)


def test_a_quantity_that_orders_as_scores_do_is_found_with_its_intervals():
    x = np.arange(6.0)[None]
    noise = _rng(1).normal(0, 0.4, (500, 1, 6))
    found = predicted(x, x * 0.1, x * 0.1 + 0.1 * noise, _rng(2))
    assert found.spearman.value == found.kendall.value == pytest.approx(1)
    # whatever methods are drawn, their order is the same
    assert found.spearman.over_methods == pytest.approx((1, 1))
    low, high = found.kendall.over_scores
    assert 0 < low < high <= 1
    assert (found.methods, found.cells) == ((0, 1, 2, 3, 4, 5), 6)


def test_the_interval_over_methods_is_the_quantiles_of_drawn_methods():
    x, y = _rng(3).normal(size=(2, 1, 7))
    found = predicted(x, y, np.zeros((300, 1, 7)), _rng(4))
    picked = _rng(4).integers(7, size=(300, 7))
    each = [
        stats.kendalltau(x[0, some], y[0, some]).statistic
        for some in picked
        if len(set(some)) > 1
    ]
    want = np.quantile(each, [0.025, 0.975])
    assert found.kendall.over_methods == pytest.approx(want)
    assert found.kendall.over_scores is None  # all scores tied in every draw


def test_methods_without_the_quantity_are_left_out_and_three_say_nothing():
    x = np.array([[1.0, np.nan, 2, 3, 4], [1, 2, 3, 4, 5]])
    y = np.array([[1.0, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
    found = predicted(x, y, y[None], _rng())
    assert (found.methods, found.cells) == ((0, 2, 3, 4), 8)
    assert found.spearman.value == pytest.approx(1)
    y[1, 4] = np.nan
    found = predicted(x, y, y[None], _rng())
    assert (found.methods, found.spearman.value) == ((0, 2, 3), None)
    assert found.kendall.over_methods is None


def test_what_is_tied_throughout_has_no_coefficient():
    x = np.ones((1, 5))
    found = predicted(x, np.arange(5.0)[None], np.arange(5.0)[None, None], _rng())
    assert found.spearman.value is None
    assert len(found.methods) == 5
