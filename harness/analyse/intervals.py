"""Intervals of a mean over cases and seeds, for many groups at once.

A group is what one number of a table stands for: a method on a task with a protocol and
a label budget. Its scores form a matrix cases x seeds, mean + case + seed + rest:
the same cases under every seed, so neither alone tells how sure the mean is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from ..schema.style import Over

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FEW_SEEDS = 5  # below, intervals over seeds fall short (docs/results/statistics.md)

# What an interval accounts for (Intervals.rule).
NONE, CASES, SEEDS, BOTH = 0, 1, 2, 3


@dataclass(frozen=True)
class Scores:
    """Scores of G groups on the same N cases under up to S seeds.

    values: (G, N, S), 0 where `present` (G, N, S) is false; patient: (N,) the patient
    of each case, every one of 0..P-1. Cases of one patient are not independent.
    """

    values: Floats
    present: Bools
    patient: Ints

    def minus(self, other: Scores) -> Scores:
        """Differences, paired by case and seed; present where both are."""
        both = self.present & other.present
        gaps = np.where(both, self.values - other.values, 0.0)
        return Scores(gaps, both, self.patient)

    def take(self, groups: Ints) -> Scores:
        """Return the groups at these places."""
        return Scores(self.values[groups], self.present[groups], self.patient)


@dataclass(frozen=True)
class Intervals:
    """Means (G,) with bounds. Where `rule` is NONE, low and high equal the mean.

    cases, patients, seeds: how many of each have a score; where cases is 0 there is no
    mean, and it is given as 0. spread: standard error of the mean; freedom: degrees of
    freedom of Student's t with it, where an interval is made so. corrected: (G,) where
    a bootstrap is BCa rather than percentile.
    """

    mean: Floats
    low: Floats
    high: Floats
    spread: Floats
    rule: Ints
    cases: Ints
    patients: Ints
    seeds: Ints
    freedom: Floats | None = None
    corrected: Bools | None = None


@dataclass(frozen=True)
class Components:
    """Variance of the mean that cases, seeds and the rest would each explain, (G,).

    Each holds the rest too: the variance of the mean is cases + seeds - rest. With it
    the numbers of patients and seeds (G,) that the degrees of freedom come from.
    """

    cases: Floats
    seeds: Floats
    rest: Floats
    patients: Ints
    columns: Ints


def two_way(scores: Scores, *, level: float = 0.95, over: Over = "both") -> Intervals:
    """Intervals of the mean of all scores present, by variance components.

    The variance of the mean is put together from the mean squares of cases, seeds and
    rest of the crossed design, negative components set to zero; its degrees of freedom
    are Satterthwaite's, and Student's t with them is the small-sample correction. With
    missing scores the same is done with each score's influence on the mean, which is
    the two-way clustered variance (Cameron, Gelbach and Miller 2011). One seed: over
    cases only, t with patients - 1. One patient: over seeds only. One of both: none.
    over: what counts as varying; `cases` takes the seeds as given (t of the patients'
    means), `seeds` takes the cases as given (t of the seeds' means).

    Nominal 95% covers about 95% from 5 seeds on; simulated coverage falls to 0.92 with
    3 seeds and 0.87 with 2 where seeds vary much more than the mean over cases does
    (tests/analyse/test_coverage.py).
    """
    mean, parts, cases = components(scores)
    spread, freedom, rule = combine(parts, over=over)
    half = quantile(freedom, level) * spread
    low, high = mean - half, mean + half
    return Intervals(
        mean, low, high, spread, rule, cases, parts.patients, parts.columns, freedom
    )


def components(scores: Scores) -> tuple[Floats, Components, Ints]:
    """Return means, variance components and numbers of cases of every group."""
    present = scores.present
    total = present.sum(axis=(1, 2))
    mean = scores.values.sum(axis=(1, 2)) / np.maximum(total, 1)
    away = np.where(present, scores.values - mean[:, None, None], 0.0)
    # Constant scores leave rounding behind, which is not variance.
    size = np.abs(scores.values).max(axis=(1, 2), initial=0.0)
    away[np.abs(away) <= 1e-14 * size[:, None, None]] = 0.0
    away = by_patient(away, scores.patient)
    seen = by_patient(present.astype(np.float64), scores.patient) > 0
    patients, columns = seen.any(axis=2).sum(axis=1), seen.any(axis=1).sum(axis=1)
    of_row = np.square(away.sum(axis=2)).sum(axis=1)
    of_column = np.square(away.sum(axis=1)).sum(axis=1)
    of_each = np.square(away).sum(axis=(1, 2))
    rows, seeds = np.maximum(patients, 1), np.maximum(columns, 1)
    rest = np.maximum(of_each - of_row / seeds - of_column / rows, 0.0)
    # In units of the variance of the mean: squares of sums over total^2, with n/(n-1).
    scale = 1 / np.square(np.maximum(total, 1.0))
    row_part = of_row * scale * rows / np.maximum(rows - 1, 1)
    column_part = of_column * scale * seeds / np.maximum(seeds - 1, 1)
    free = np.maximum(rows - 1, 1) * np.maximum(seeds - 1, 1)
    parts = Components(
        row_part, column_part, rest * scale * rows * seeds / free, patients, columns
    )
    return mean, parts, present.any(axis=2).sum(axis=1)


def by_patient(values: Floats, patient: Ints) -> Floats:
    """Sum (G, N, S) over the cases of each patient: (G, P, S)."""
    count = int(patient.max(initial=-1)) + 1
    if count == len(patient):
        return values
    order = np.argsort(patient, kind="stable")
    starts = np.searchsorted(patient[order], np.arange(count))
    return np.add.reduceat(values[:, order], starts, axis=1)


def combine(parts: Components, *, over: Over = "both") -> tuple[Floats, Floats, Ints]:
    """Return standard error, degrees of freedom and rule of components, each (G,)."""
    rows, seeds = parts.patients, parts.columns
    rule = CASES * ((rows > 1) & (over != "seeds"))
    rule = rule + SEEDS * ((seeds > 1) & (over != "cases"))
    rule = np.where(np.minimum(rows, seeds) > 0, rule, NONE)
    free_row, free_seed = np.maximum(rows - 1, 1), np.maximum(seeds - 1, 1)
    by_case = np.where(rule & CASES, parts.cases, 0.0)
    by_seed = np.where(rule & SEEDS, parts.seeds, 0.0)
    rest = np.where(rule == BOTH, parts.rest, 0.0)
    # A component below the rest is estimated as negative: it is set to zero, and what
    # is left is the other's mean square with its own degrees of freedom.
    case_less, seed_less = by_case <= rest, by_seed <= rest
    one = np.where(seed_less, by_case, by_seed)
    one = np.where(case_less & seed_less, rest, one)
    free_one = np.where(seed_less, free_row, free_seed)
    free_one = np.where(case_less & seed_less, free_row * free_seed, free_one)
    both = by_case + by_seed - rest
    squares = by_case**2 / free_row + by_seed**2 / free_seed
    squares = squares + rest**2 / (free_row * free_seed)
    use_both = ~case_less & ~seed_less & (squares > 0)
    satterthwaite = both**2 / np.where(squares > 0, squares, 1.0)
    variance = np.where(use_both, both, one)
    freedom = np.where(use_both, satterthwaite, free_one)
    return np.sqrt(variance), np.maximum(freedom, 1.0), rule


def quantile(freedom: Floats, level: float) -> Floats:
    """Student's t quantile of a two-sided interval at `level`."""
    found: Floats = stdtrit(freedom, 0.5 + level / 2)
    return found


def t_test(intervals: Intervals) -> tuple[Floats, Bools]:
    """Return two-sided p-values of means of 0, and where they are defined.

    Student's t of the mean over its standard error, as in the intervals of `two_way`:
    p is below 0.05 exactly where the 95% interval leaves out 0. Undefined without an
    interval or where nothing varies.
    """
    defined = (intervals.rule != NONE) & (intervals.spread > 0)
    if intervals.freedom is None:
        return np.ones(len(defined)), np.zeros(len(defined), dtype=bool)
    t = np.abs(intervals.mean) / np.where(defined, intervals.spread, 1.0)
    return np.where(defined, 2 * stdtr(intervals.freedom, -t), 1.0), defined


def doubtful(rule: Ints, seeds: Ints) -> Bools:
    """Tell which intervals may hold the truth less often than they say.

    Those that account for seeds with fewer than five of them: nominal 95% intervals
    then hold it in as little as 90% (three seeds) or 87% (two) of the simulations of
    docs/results/statistics.md, against 92% and more from five seeds on.
    """
    few: Bools = ((rule & SEEDS) > 0) & (seeds < FEW_SEEDS)
    return few
