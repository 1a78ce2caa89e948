"""Paired tests against scipy; effect sizes against plain resampling."""

import numpy as np
import pytest
from scipy import stats

from harness.analyse.effects import paired_effects
from harness.analyse.intervals import Scores
from harness.analyse.paired import paired_t, sign_flip, unit_means
from harness.analyse.resample import Resample


def scores(values, patient=None):
    values = np.asarray(values, float)
    present = ~np.isnan(values)
    patient = np.arange(values.shape[1]) if patient is None else np.asarray(patient)
    return Scores(np.where(present, values, 0), present, patient)


def test_unit_means_average_seeds_then_cases_of_a_patient():
    values = np.array([[[1.0, 3], [5, np.nan], [7, 9]]])
    means, known = unit_means(scores(values, patient=[0, 1, 0]))
    assert means.tolist() == [[5, 5]]
    assert known.all()
    values[0, 1] = np.nan
    assert unit_means(scores(values, [0, 1, 0]))[1].tolist() == [[True, False]]


def test_paired_t_equals_scipy():
    d = np.random.default_rng(0).normal(0.3, 1, (5, 12))
    p, defined = paired_t(d, np.ones(d.shape, bool))
    assert p == pytest.approx(stats.ttest_1samp(d, 0, axis=1).pvalue)
    assert defined.all()
    same = np.full((1, 4), 0.3)
    assert not paired_t(same, np.ones((1, 4), bool))[1][0]


def test_sign_flip_tries_all_signs_or_draws():
    d = np.random.default_rng(1).normal(0.3, 1, (3, 10))
    p, _ = sign_flip(d, np.ones(d.shape, bool), np.random.default_rng(0))

    def mean(x, axis):
        return np.abs(x.mean(axis))

    for row in range(3):
        want = stats.permutation_test(
            (d[row],), mean, permutation_type="samples", vectorized=True,
            alternative="greater", n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert p[row] == pytest.approx(want)
    long = np.random.default_rng(2).normal(0.2, 1, (1, 80))
    p, _ = sign_flip(long, np.ones(long.shape, bool), np.random.default_rng(0))
    assert p[0] == pytest.approx(stats.ttest_1samp(long[0], 0).pvalue, abs=0.02)
    assert sign_flip(np.zeros((1, 3)), np.ones((1, 3), bool), None)[0][0] == 1


def by_index(d, resample):
    """Effects of every draw, from lists of the cases and seeds that it names."""
    found = []
    counts = resample.seed_counts(np.ones(d.shape[1], bool))
    for u, v in zip(resample.cases, counts, strict=True):
        rows = np.repeat(np.arange(len(d)), u.astype(int))
        columns = np.repeat(np.arange(d.shape[1]), v.astype(int))
        x = np.round(d[np.ix_(rows, columns)].mean(axis=1), 12)
        ranks = stats.rankdata(np.abs(x))
        size = ranks[x != 0].sum()
        rank = (ranks * np.sign(x)).sum() / size if size else 0.0
        found.append([np.median(x), rank, np.mean(x > 0) + np.mean(x == 0) / 2])
    return np.array(found).T


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seeds", [1, 3])
def test_effects_equal_a_loop_over_the_same_draws(decimals, seeds):
    rng = np.random.default_rng(5)
    d = np.round(rng.normal(0.2, 0.5, (2, 14, seeds)), decimals)
    d[1] = np.round(d[1], 0)
    resample = Resample.draw(np.arange(14), seeds, rng, draws=80)
    found = paired_effects(scores(d), resample)
    for row in range(2):
        drawn = by_index(d[row], resample)
        want = np.quantile(drawn, [0.025, 0.975], axis=1)
        for place, name in enumerate(
            ("median_difference", "rank_biserial", "improvement")
        ):
            effect = found[name]
            assert effect.low[row] == pytest.approx(want[0, place], abs=1e-9)
            assert effect.high[row] == pytest.approx(want[1, place], abs=1e-9)


def test_effects_of_patients_and_of_nothing():
    rng = np.random.default_rng(6)
    d = rng.normal(0.2, 0.5, (1, 10, 2))
    twice = np.repeat(d, 2, axis=1)
    patient = np.repeat(np.arange(10), 2)
    draws = np.random.default_rng(0), np.random.default_rng(0)
    one = paired_effects(scores(d), Resample.draw(np.arange(10), 2, draws[0], draws=50))
    two = paired_effects(
        scores(twice, patient), Resample.draw(patient, 2, draws[1], draws=50)
    )
    for name in one:
        assert one[name].low == pytest.approx(two[name].low)
    none = paired_effects(
        scores(np.full((1, 4, 2), np.nan)),
        Resample.draw(np.arange(4), 2, rng, draws=20),
    )
    assert not any(effect.defined[0] for effect in none.values())
