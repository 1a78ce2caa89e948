"""Bootstraps against loops over the same draws, and BCa against scipy."""

import numpy as np
import pytest
from scipy import stats

from harness.analyse.intervals import BOTH, CASES, NONE, SEEDS, Scores
from harness.analyse.resample import Resample, bootstrap


def scores(values, patient=None):
    values = np.asarray(values, float)
    present = ~np.isnan(values)
    patient = np.arange(values.shape[1]) if patient is None else np.asarray(patient)
    return Scores(np.where(present, values, 0), present, patient)


def crossed(seed, groups=3, n=12, s=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(groups, n, 1)) + rng.normal(size=(groups, n, s)) * 0.3


def loop(x, resample):
    """Means of one group (n, s) over the cases and seeds of each draw, by index."""
    own = ~np.isnan(x).all(axis=0)
    means = []
    counts = resample.seed_counts(own)
    for u, v in zip(resample.cases, counts, strict=True):
        rows = np.repeat(np.arange(len(x)), u.astype(int))
        columns = np.repeat(np.arange(x.shape[1]), v.astype(int))
        means.append(np.nanmean(x[np.ix_(rows, columns)]))
    return np.array(means)


@pytest.mark.parametrize("over", ["both", "cases", "seeds"])
def test_intervals_equal_a_loop_over_the_same_draws(over):
    x = crossed(0)
    x[1, :, 2] = np.nan
    x[2, 3, 1] = np.nan
    draws = Resample.draw(
        np.arange(12), 4, np.random.default_rng(1), draws=60, over=over
    )
    found = bootstrap(scores(x), draws)
    for group in range(3):
        want = np.quantile(loop(x[group], draws), [0.025, 0.975])
        assert [found.low[group], found.high[group]] == pytest.approx(want)


def test_a_group_does_not_depend_on_the_others():
    x = crossed(2)
    x[0, :, 0] = np.nan
    draws = Resample.draw(np.arange(12), 4, np.random.default_rng(3), draws=50)
    alone, among = bootstrap(scores(x[1:2]), draws), bootstrap(scores(x), draws)
    assert among.low[1] == pytest.approx(alone.low[0], abs=1e-12)


def test_what_varies_is_what_the_rule_says():
    x = scores(crossed(4))
    rng = np.random.default_rng(0)
    rules = {
        over: int(bootstrap(x, rng, over=over, draws=20).rule[0])
        for over in ("both", "cases", "seeds")
    }
    assert rules == {"both": BOTH, "cases": CASES, "seeds": SEEDS}
    one = scores(crossed(4, s=1))
    assert bootstrap(one, rng, over="seeds", draws=20).rule[0] == NONE
    found = bootstrap(one, rng, over="seeds", draws=20)
    assert found.low[0] == found.mean[0] == found.high[0]


def test_patients_are_drawn_whole():
    x = crossed(5, s=1)
    twice, patient = np.repeat(x, 2, axis=1), np.repeat(np.arange(12), 2)
    one = bootstrap(scores(x), np.random.default_rng(6), draws=100)
    two = bootstrap(scores(twice, patient), np.random.default_rng(6), draws=100)
    assert one.low == pytest.approx(two.low)
    assert (two.cases[0], two.patients[0]) == (24, 12)


def test_bca_equals_scipy_within_the_noise_of_draws():
    x = np.random.default_rng(7).lognormal(size=(1, 40, 1))
    found = bootstrap(
        scores(x), np.random.default_rng(8), draws=20_000, over="cases", kind="bca"
    )
    want = stats.bootstrap(
        (x[0, :, 0],), np.mean, n_resamples=20_000, rng=np.random.default_rng(9)
    ).confidence_interval
    assert [found.low[0], found.high[0]] == pytest.approx(list(want), rel=0.02)
    assert found.corrected.tolist() == [True]
    plain = bootstrap(scores(x), np.random.default_rng(8), draws=20_000, over="cases")
    assert found.high[0] > plain.high[0]


def test_bca_falls_back_below_20_units_and_on_constant_scores():
    rng = np.random.default_rng(10)
    few = crossed(11, groups=1, n=19)
    flat = np.full((1, 30, 2), 0.3)
    for x in (few, flat):
        found = bootstrap(scores(x), rng, draws=50, over="cases", kind="bca")
        assert found.corrected.tolist() == [False]
        assert np.isfinite([found.low, found.high]).all()
    with pytest.raises(ValueError, match="over cases or over seeds"):
        bootstrap(scores(few), rng, kind="bca")


def test_empty_and_absent():
    rng = np.random.default_rng(0)
    nothing = bootstrap(scores(np.zeros((0, 5, 2))), rng, draws=10)
    assert len(nothing.mean) == 0
    absent = bootstrap(scores(np.full((2, 5, 2), np.nan)), rng, draws=10)
    assert absent.rule.tolist() == [NONE, NONE]
    assert np.isfinite(absent.low).all()
