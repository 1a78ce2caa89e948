"""Tests and effect sizes of two samples against scipy and plain loops."""

import numpy as np
import pytest
from scipy import stats

from harness.analyse.unpaired import (
    Samples,
    cliffs_delta,
    hedges_g,
    mann_whitney,
    split_test,
    welch,
)


def samples(values, present=None):
    values = np.atleast_2d(np.asarray(values, float))
    present = np.ones(values.shape, bool) if present is None else present
    return Samples(np.where(present, values, 0), present)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, (6, 5)), rng.normal(0, 2, (6, 7))


def test_welch_equals_scipy(pair):
    found, defined = welch(*map(samples, pair))
    assert defined.all()
    want = stats.ttest_ind(*pair, axis=1, equal_var=False).pvalue
    assert found == pytest.approx(want)


def test_welch_with_absent_values(pair):
    a, b = pair
    there = np.ones(a.shape, bool)
    there[:, 3:] = False
    found, _ = welch(samples(a, there), samples(b))
    want = stats.ttest_ind(a[:, :3], b, axis=1, equal_var=False).pvalue
    assert found == pytest.approx(want)


def test_welch_is_undefined_without_spread_or_values():
    p, defined = welch(samples([[1, 1], [1, 2]]), samples([[2, 2], [3, 0]]))
    assert (list(defined), p[0]) == ([False, True], 1.0)
    there = np.array([[True, False]])
    assert not welch(samples([[1, 0]], there), samples([[1, 2]]))[1][0]


def test_mann_whitney_equals_scipy_with_ties(pair):
    a, b = (np.round(x) for x in pair)
    found, defined = mann_whitney(samples(a), samples(b))
    want = stats.mannwhitneyu(a, b, axis=1, method="asymptotic").pvalue
    assert found == pytest.approx(want)
    assert defined.all()
    assert not mann_whitney(samples([1, 1]), samples([1, 1]))[1][0]


def test_split_test_equals_scipys_with_all_permutations(pair):
    a, b = pair
    found, floor = split_test(samples(a), samples(b), np.random.default_rng(0))

    def apart(x, y, axis):
        return np.abs(x.mean(axis) - y.mean(axis))

    for row in range(len(a)):
        want = stats.permutation_test(
            (a[row], b[row]), apart, vectorized=True, alternative="greater",
            n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert found[row] == pytest.approx(want)
    assert floor[0] == pytest.approx(1 / 792)
    three = np.array([[1.0, 2, 3]])
    p, floor = split_test(samples(three), samples(three + 9), np.random.default_rng(0))
    assert (p[0], floor[0]) == (pytest.approx(0.1), pytest.approx(0.1))


def test_split_test_draws_where_there_are_too_many():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.6, 1, (1, 20)), rng.normal(size=(1, 20))
    p, floor = split_test(samples(a), samples(b), rng, draws=4000)
    want = stats.ttest_ind(a[0], b[0]).pvalue
    assert p[0] == pytest.approx(want, abs=0.02)
    assert 0 < floor[0] <= 1 / 2000
    empty = samples(np.zeros((1, 2)), np.zeros((1, 2), bool))
    assert split_test(empty, samples(b), rng)[0][0] == 1


def test_hedges_g_and_its_exact_interval():
    """The bounds are those noncentralities for which t lies at the tails."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 1, 5), rng.normal(0, 1, 5)
    found = hedges_g(samples(a), samples(b))
    sd = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    d, exact = (a.mean() - b.mean()) / sd, 6 / (2 * 3.3233509)  # gammas of 4, 3.5
    assert found.value[0] == pytest.approx(d * exact, rel=1e-4)
    t, scale = d / np.sqrt(2 / 5), np.sqrt(2 / 5) * exact
    for bound, tail in ((found.low[0], 0.975), (found.high[0], 0.025)):
        assert stats.nct.cdf(t, 8, bound / scale) == pytest.approx(tail, abs=1e-4)


def test_hedges_g_far_apart_constant_and_tiny():
    a, b = samples([[1, 1.001, 0.999], [1, 1, 1]]), samples([[0, 0.001, 0], [2, 2, 2]])
    found = hedges_g(a, b)
    assert list(found.defined) == [True, False]
    assert 0 < found.low[0] < found.value[0] < found.high[0]
    one = samples([[1.0, 0]], np.array([[True, False]]))
    assert not hedges_g(one, samples([[1, 2.0]])).defined[0]


def test_hedges_intervals_hold_the_true_effect():
    rng = np.random.default_rng(3)
    a, b = rng.normal(1, 1, (2000, 5)), rng.normal(0, 1, (2000, 5))
    found = hedges_g(samples(a), samples(b))
    held = ((found.low <= 1) & (found.high >= 1)).mean()
    assert 0.93 <= held <= 0.97


def test_cliffs_delta_equals_counting(pair):
    a, b = (np.round(x, 0) for x in pair)
    found = cliffs_delta(samples(a), samples(b))
    for row in range(len(a)):
        want = np.mean([np.sign(x - y) for x in a[row] for y in b[row]])
        assert found.value[row] == pytest.approx(want)
        assert -1 <= found.low[row] <= want <= found.high[row] <= 1


def test_cliffs_delta_where_samples_do_not_overlap():
    found = cliffs_delta(samples([[4, 5, 6, 7, 8]]), samples([[1, 2, 3, 0, -1]]))
    z2 = stats.norm.ppf(0.975) ** 2
    assert (found.value[0], found.high[0]) == (1, 1)
    assert found.low[0] == pytest.approx((5 - z2) / (5 + z2))
    turned = cliffs_delta(samples([[1, 2, 3]]), samples([[4, 5, 6]]))
    assert (turned.value[0], turned.low[0]) == (-1, -1)


def test_cliffs_intervals_hold_the_true_delta():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.5, 1, (1500, 10)), rng.normal(0, 1, (1500, 10))
    truth = 2 * stats.norm.cdf(0.5 / np.sqrt(2)) - 1
    found = cliffs_delta(samples(a), samples(b))
    assert 0.91 <= ((found.low <= truth) & (found.high >= truth)).mean() <= 0.99
