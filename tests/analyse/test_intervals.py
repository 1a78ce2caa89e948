"""Variance components against a plain two-way analysis of variance, and its rules."""

import time

import numpy as np
import pytest
from scipy.stats import t as student

from harness.analyse.intervals import BOTH, CASES, NONE, SEEDS, Scores, two_way
from harness.analyse.resample import bootstrap


def scores(values, present=None, patient=None):
    values = np.atleast_3d(np.asarray(values, float))
    if present is None:
        present = ~np.isnan(values)
    if patient is None:
        patient = np.arange(values.shape[1])
    return Scores(np.where(present, values, 0.0), present, np.asarray(patient))


def crossed(rng, n, s, sd_case, sd_seed, sd_rest, groups=1):
    return (
        0.5
        + sd_case * rng.normal(size=(groups, n, 1))
        + sd_seed * rng.normal(size=(groups, 1, s))
        + sd_rest * rng.normal(size=(groups, n, s))
    )


def slow_interval(x):
    """Two-way analysis of variance by textbook loops; both components positive."""
    n, s = x.shape
    m, rows, columns = x.mean(), x.mean(axis=1), x.mean(axis=0)
    a = s * sum((r - m) ** 2 for r in rows) / (n - 1)
    b = n * sum((c - m) ** 2 for c in columns) / (s - 1)
    e = 0.0
    for i in range(n):
        for j in range(s):
            e += (x[i, j] - rows[i] - columns[j] + m) ** 2
    e /= (n - 1) * (s - 1)
    assert a > e < b, "the example needs positive components"
    v = a + b - e
    df = v**2 / (a**2 / (n - 1) + b**2 / (s - 1) + e**2 / ((n - 1) * (s - 1)))
    half = student.ppf(0.975, df) * np.sqrt(v / (n * s))
    return m - half, m + half


@pytest.mark.parametrize(("n", "s"), [(4, 3), (12, 5), (30, 2)])
def test_equals_a_textbook_analysis_of_variance(n, s):
    x = crossed(np.random.default_rng(n), n, s, 0.1, 0.1, 0.01)[0]
    found = two_way(scores(x[None]))
    assert (found.low[0], found.high[0]) == pytest.approx(slow_interval(x))
    assert (found.rule[0], found.cases[0], found.seeds[0]) == (BOTH, n, s)


def test_one_seed_is_the_t_interval_over_cases():
    x = np.random.default_rng(0).normal(size=20)
    found = two_way(scores(x[None, :, None]))
    want = student.interval(0.95, 19, x.mean(), x.std(ddof=1) / np.sqrt(20))
    assert (found.low[0], found.high[0]) == pytest.approx(want)
    assert found.rule[0] == CASES


def test_one_case_is_the_t_interval_over_seeds_and_one_of_both_has_none():
    x = np.array([0.4, 0.5, 0.7])
    found = two_way(scores(x[None, None, :]))
    want = student.interval(0.95, 2, x.mean(), x.std(ddof=1) / np.sqrt(3))
    assert (found.low[0], found.high[0]) == pytest.approx(want)
    assert found.rule[0] == SEEDS
    alone = two_way(scores([[[0.3]]]))
    assert (alone.rule[0], alone.low[0], alone.high[0]) == (NONE, 0.3, 0.3)


def test_constant_and_empty_groups_give_no_warning():
    values = np.full((3, 6, 4), 0.1)
    values[1] = 0.7
    values[2] = np.nan
    found = two_way(scores(values))
    assert found.mean[:2] == pytest.approx([0.1, 0.7])
    assert found.high[:2] - found.low[:2] == pytest.approx([0, 0], abs=1e-15)
    assert (found.cases[2], found.seeds[2], found.rule[2]) == (0, 0, NONE)
    assert np.isfinite(found.low).all()
    empty = two_way(scores(np.zeros((0, 5, 2))))
    assert len(empty.mean) == 0


def test_a_missing_seed_leaves_the_interval_of_the_others():
    x = crossed(np.random.default_rng(1), 15, 4, 0.1, 0.05, 0.02)
    padded = np.concatenate([x, np.full((1, 15, 2), np.nan)], axis=2)
    one, two = two_way(scores(x)), two_way(scores(padded))
    assert (two.low, two.high) == (pytest.approx(one.low), pytest.approx(one.high))
    assert two.seeds[0] == 4


def test_a_scattering_of_missing_scores_barely_moves_the_interval():
    rng = np.random.default_rng(2)
    x = crossed(rng, 80, 5, 0.1, 0.02, 0.02, groups=20)
    holes = np.where(rng.random(x.shape) < 0.05, np.nan, x)
    full, ragged = two_way(scores(x)), two_way(scores(holes))
    assert ragged.mean == pytest.approx(full.mean, abs=0.01)
    widths = (ragged.high - ragged.low) / (full.high - full.low)
    assert 0.9 < np.median(widths) < 1.15


def test_cases_of_one_patient_count_as_one():
    """Doubling every case must not narrow the interval when patients are known."""
    x = crossed(np.random.default_rng(3), 12, 3, 0.1, 0.02, 0.02)
    twice = np.repeat(x, 2, axis=1)
    want = two_way(scores(x))
    found = two_way(scores(twice, patient=np.repeat(np.arange(12), 2)))
    assert (found.low, found.high) == (
        pytest.approx(want.low),
        pytest.approx(want.high),
    )
    assert (found.cases[0], found.patients[0]) == (24, 12)
    assert two_way(scores(twice)).high[0] < want.high[0]


def test_pairing_removes_what_cases_share():
    rng = np.random.default_rng(4)
    first = crossed(rng, 30, 5, 0.2, 0.0, 0.01)
    second = first - 0.02 + 0.002 * rng.normal(size=first.shape)
    second[0, :3, 0] = np.nan
    one, two = scores(first), scores(second)
    gap = two_way(one.minus(two))
    assert gap.low[0] < 0.02 < gap.high[0]
    assert gap.low[0] > 0 > two_way(one).low[0] - two_way(two).high[0]
    assert one.minus(two).present.sum() == 147


def test_three_thousand_groups_in_well_under_a_second():
    x = scores(crossed(np.random.default_rng(5), 40, 5, 0.1, 0.01, 0.02, groups=3000))
    start = time.process_time()
    two_way(x)
    assert time.process_time() - start < 0.8


def slow_bootstrap(x, draws, rng):
    n, s = x.shape
    means = []
    for _ in range(draws):
        rows, columns = rng.integers(0, n, n), rng.integers(0, s, s)
        means.append(np.nanmean(x[np.ix_(rows, columns)]))
    return np.quantile(means, [0.025, 0.975])


def test_bootstrap_equals_resampling_by_index():
    rng = np.random.default_rng(6)
    x = crossed(rng, 25, 5, 0.1, 0.05, 0.05)
    x[0, 3, 1] = np.nan
    found = bootstrap(scores(x), np.random.default_rng(7), draws=8000)
    want = slow_bootstrap(x[0], 8000, rng)
    assert [found.low[0], found.high[0]] == pytest.approx(want, abs=0.004)


def test_bootstrap_repeats_with_its_generator_and_needs_no_complete_groups():
    x = crossed(np.random.default_rng(8), 10, 3, 0.1, 0.05, 0.05, groups=4)
    x[1, :, 2] = np.nan
    x[2] = np.nan
    x[3, 1:], x[3, :, 1:] = np.nan, np.nan
    one, two = (bootstrap(scores(x), np.random.default_rng(9), draws=300) for _ in "ab")
    assert (one.low == two.low).all()
    assert list(one.rule) == [BOTH, BOTH, NONE, NONE]
    assert one.low[0] < one.mean[0] < one.high[0]
    assert one.seeds[1] == 2
    assert one.low[3] == one.mean[3]
