"""How often intervals hold the true mean, by simulation: the numbers stated."""

import numpy as np
import pytest

from harness.analyse.intervals import Scores, two_way
from harness.analyse.predictions import case_weights, draw, interval

RUNS = 2000  # a coverage of 0.95 is then found within +-0.015


def coverage(n, s, sd_case, sd_seed, sd_rest):
    rng = np.random.default_rng([n, s])
    x = (
        sd_case * rng.normal(size=(RUNS, n, 1))
        + sd_seed * rng.normal(size=(RUNS, 1, s))
        + sd_rest * rng.normal(size=(RUNS, n, s))
    )
    found = two_way(Scores(x, np.ones(x.shape, bool), np.arange(n)))
    return float(((found.low <= 0) & (found.high >= 0)).mean())


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize(
    ("sd_case", "sd_seed", "sd_rest"),
    [(0.1, 0.01, 0.02), (0.1, 0.05, 0.02), (0.02, 0.02, 0.05), (0.1, 0.0, 0.05)],
)
def test_about_95_percent_with_five_seeds(n, sd_case, sd_seed, sd_rest):
    assert 0.93 <= coverage(n, 5, sd_case, sd_seed, sd_rest) <= 0.98


@pytest.mark.parametrize(("s", "least"), [(2, 0.86), (3, 0.91)])
def test_with_two_or_three_seeds_it_is_lower_where_seeds_dominate(s, least):
    assert coverage(100, s, 0.1, 0.05, 0.02) >= least
    assert coverage(30, s, 0.1, 0.01, 0.02) >= 0.93


def test_auc_intervals_hold_the_true_area():
    """Two normal populations 1.5 apart, with a shift of scores shared within a seed."""
    rng = np.random.default_rng(0)
    truth, hits, runs = 0.8556, 0, 120  # Phi(1.5 / sqrt 2)
    for _ in range(runs):
        y = rng.permutation(np.repeat([0, 1], [40, 40]))
        shared = y * 1.5 + rng.normal(size=80) * np.sqrt(0.8)
        seeds = shared + rng.normal(size=(5, 80)) * np.sqrt(0.2)
        scores = np.stack([-seeds, seeds], axis=2)
        weights = case_weights(y, np.arange(80), rng, draws=300)
        found = interval(draw("auc", y, scores, weights, patients=80), rng)
        hits += found.low[0] <= truth <= found.high[0]
    assert 0.89 <= hits / runs <= 0.99
