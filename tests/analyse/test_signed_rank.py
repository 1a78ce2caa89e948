"""Wilcoxon's test against scipy, and its floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.analyse.signed_rank import signed_rank

SCIPY = {"pratt": "pratt", "drop": "wilcox"}


def full(d):
    return np.ones(d.shape, bool)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30, 50, 51, 200])
def test_equals_scipy_without_ties(n):
    d = np.random.default_rng(n).normal(0.2, 1, (8, n))
    found = signed_rank(d, full(d))
    want = [stats.wilcoxon(row).pvalue for row in d]
    assert found.p == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("zeros", ["pratt", "drop"])
def test_small_samples_with_ties_are_exact(zeros):
    """Scipy tries every sign here; the same number must come out of counting sums."""
    d = np.random.default_rng(0).integers(-2, 4, (6, 8)).astype(float)
    found = signed_rank(d, full(d), zeros=zeros)
    want = [stats.wilcoxon(row, zero_method=SCIPY[zeros]).pvalue for row in d]
    assert found.p == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("zeros", ["pratt", "drop"])
def test_large_samples_with_ties_are_scipys_approximation(zeros):
    d = np.round(np.random.default_rng(1).normal(0.2, 1, (8, 120)), 1)
    found = signed_rank(d, full(d), zeros=zeros)
    want = [
        stats.wilcoxon(row, zero_method=SCIPY[zeros], method="asymptotic").pvalue
        for row in d
    ]
    assert found.p == pytest.approx(want, abs=1e-12)


def test_the_exact_and_the_approximate_agree_in_between():
    d = np.round(np.random.default_rng(2).normal(0.3, 1, (10, 45)), 1)
    found = signed_rank(d, full(d))
    rough = [
        stats.wilcoxon(row, zero_method="pratt", method="asymptotic").pvalue
        for row in d
    ]
    assert found.p == pytest.approx(rough, abs=0.01)


def test_absent_differences_change_nothing():
    d = np.random.default_rng(3).normal(size=(4, 10))
    wider = np.concatenate([d, np.full((4, 5), 7.0)], axis=1)
    present = np.concatenate([full(d), np.zeros((4, 5), bool)], axis=1)
    found, want = signed_rank(wider, present), signed_rank(d, full(d))
    assert found.p == pytest.approx(want.p)
    assert found.rank_biserial == pytest.approx(want.rank_biserial)


def test_the_floor_is_what_equal_signs_give():
    for n in range(1, 9):
        d = np.arange(1.0, n + 1)[None]
        found = signed_rank(d, full(d))
        assert found.p[0] == pytest.approx(found.floor[0])
    assert signed_rank(np.ones((1, 5)), np.ones((1, 5), bool)).floor[0] == 0.0625


def test_no_difference_has_no_evidence():
    for shape in ((2, 6), (2, 0)):
        zero = np.zeros(shape)
        found = signed_rank(zero, full(zero))
        assert found.p.tolist() == [1, 1]
        assert found.floor.tolist() == [1, 1]
        assert found.rank_biserial.tolist() == [0, 0]


def test_rounding_is_not_a_difference():
    d = np.array([[0.1 + 0.2 - 0.3, 0.5, 0.4, 0.9 - 0.5]])
    found = signed_rank(d, full(d))
    assert found.nonzero[0] == 3
    assert found.above[0] == 2.5 + 2.5 + 4


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, st.tuples(st.just(2), st.integers(1, 9)), elements=st.integers(-4, 4))
)
def test_properties(d):
    d = d.astype(float)
    found, turned = signed_rank(d, full(d)), signed_rank(-d, full(d))
    assert found.p == pytest.approx(turned.p)
    assert found.rank_biserial == pytest.approx(-turned.rank_biserial)
    assert ((found.floor - 1e-12 <= found.p) & (found.p <= 1)).all()
    scaled = signed_rank(3 * d, full(d))
    assert scaled.p == pytest.approx(found.p)
