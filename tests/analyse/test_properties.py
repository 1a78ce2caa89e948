"""Whatever the scores, nothing warns, divides by zero or leaves its range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.analyse.compare_cases import case_tests, seed_means
from harness.analyse.effects import paired_effects
from harness.analyse.intervals import NONE, Scores, t_test, two_way
from harness.analyse.power import detectable, needed
from harness.analyse.resample import Resample, bootstrap
from harness.analyse.unpaired import cliffs_delta, hedges_g
from harness.schema.style import UNITS

# Few values, so that ties, constants and zero differences are common.
VALUES = st.sampled_from([0.0, 0.1, 0.3, 0.3 + 1e-16, 0.7, 1.0])


@st.composite
def pairs(draw):
    """Two sets of scores on the same cases, of any size from one case and seed on."""
    shape = draw(st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 4)))
    patient = np.array(draw(st.lists(st.integers(0, 2), min_size=6, max_size=6)))
    patient = np.unique(patient[: shape[1]], return_inverse=True)[1]
    both = []
    for _ in range(2):
        present = draw(arrays(bool, shape))
        values = draw(arrays(float, shape, elements=VALUES))
        both.append(Scores(np.where(present, values, 0.0), present, patient))
    return both


FEW = settings(max_examples=40, deadline=None)


@FEW
@given(pairs(), st.sampled_from(["both", "cases", "seeds"]))
def test_intervals_hold_their_mean(both, over):
    one, two = both
    rng = np.random.default_rng(0)
    for some in (one, one.minus(two)):
        kind = "bca" if over != "both" else "percentile"
        for found in (
            two_way(some, over=over),
            bootstrap(some, rng, draws=20, over=over, kind=kind),
        ):
            assert np.isfinite([found.mean, found.low, found.high]).all()
            assert (found.spread >= 0).all()
            bare = found.rule == NONE
            assert (found.low[bare] == found.mean[bare]).all()
        found = two_way(some, over=over)
        assert (found.low <= found.mean + 1e-12).all()
        assert (found.high >= found.mean - 1e-12).all()


@FEW
@given(pairs(), st.sampled_from(sorted(UNITS)))
def test_p_values_are_probabilities_or_have_a_reason(both, test):
    found = case_tests(*both, test=test, rng=np.random.default_rng(0))
    turned = case_tests(*both[::-1], test=test, rng=np.random.default_rng(0))
    assert ((found.p >= 0) & (found.p <= 1 + 1e-12)).all()
    assert ((found.floor >= 0) & (found.floor <= 1)).all()
    assert found.reason == turned.reason
    assert found.p == pytest.approx(turned.p, abs=1e-9)
    for p, floor, reason in zip(found.p, found.floor, found.reason, strict=True):
        assert reason in ("", "too few", "no difference")
        if not reason:
            assert p >= floor - 1e-9


@FEW
@given(pairs())
def test_effect_sizes_stay_in_their_ranges(both):
    one, two = both
    apart = one.minus(two)
    draws = Resample.draw(
        one.patient, one.values.shape[2], np.random.default_rng(0), draws=20
    )
    effects = paired_effects(apart, draws)
    effects["delta"] = cliffs_delta(seed_means(one), seed_means(two))
    g = hedges_g(seed_means(one), seed_means(two))
    for effect in (*effects.values(), g):
        assert np.isfinite([effect.value, effect.low, effect.high]).all()
    for name, low in (("rank_biserial", -1), ("improvement", 0), ("delta", -1)):
        found = effects[name]
        for each in (found.value, found.low, found.high):
            assert ((each >= low - 1e-12) & (each <= 1 + 1e-12)).all()


@FEW
@given(pairs())
def test_sizes_of_studies_are_sensible(both):
    apart = both[0].minus(both[1])
    assert (detectable(apart) >= 0).all()
    for wanted in needed(apart):
        for count in (wanted.patients, wanted.seeds):
            assert count is None or count >= 2
    p, defined = t_test(two_way(apart))
    assert ((p >= 0) & (p <= 1)).all()
    assert (p[~defined] == 1).all()
