"""Statistics of stored predictions (AUC, kappa, F1), with intervals over cases and seeds.

None is a mean of cases, so cases are resampled: a draw gives each case a weight (how
often it was drawn), the same for every method and seed of a task, and the statistic is
computed with these weights. That keeps methods paired by case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from ..metrics.classification import Weights
from ..schema.style import Over
from .intervals import (
    NONE,
    Bools,
    Components,
    Floats,
    Intervals,
    Ints,
    combine,
    quantile,
)
from .weighted import OF_CLASSES, Statistic, auc, kappa, predicted_classes


@dataclass(frozen=True)
class Draws:
    """A statistic under each seed: `value` (S,) on all cases, `drawn` (B, S) resampled.

    usable: (B,) draws in which it is defined under every seed.
    """

    value: Floats
    drawn: Floats
    usable: Bools
    cases: int
    patients: int

    def by_column(self, column: Ints) -> Draws:
        """Average the cells (folds) of each column 0..C-1, given per cell."""
        count = np.bincount(column)
        spread = np.zeros((len(column), len(count)))
        spread[np.arange(len(column)), column] = 1 / count[column]
        return Draws(
            self.value @ spread, self.drawn @ spread, self.usable, self.cases,
            self.patients,
        )  # fmt: skip

    def take(self, columns: Ints) -> Draws:
        """Return the columns at these places."""
        return replace(self, value=self.value[columns], drawn=self.drawn[:, columns])

    def times(self, factor: float) -> Draws:
        """Return the draws multiplied by a number."""
        return replace(self, value=factor * self.value, drawn=factor * self.drawn)

    def plus(self, other: Draws) -> Draws:
        """Return sums on the same cases, column by column."""
        return replace(
            self,
            value=self.value + other.value,
            drawn=self.drawn + other.drawn,
            usable=self.usable & other.usable,
        )


def case_weights(
    y: Ints, patient: Ints, rng: np.random.Generator, *, draws: int = 2000
) -> Floats:
    """Draw patients with replacement: how often each case counts, (draws, n).

    y: (n,) true classes; patient: (n,) 0..P-1. A draw that misses a class present in y
    is redrawn within each class, which keeps the number of cases of every class.
    """
    count = int(patient.max(initial=-1)) + 1
    picked = rng.multinomial(count, np.full(count, 1 / max(count, 1)), draws)
    weights = picked[:, patient].astype(np.float64)
    classes = np.unique(y)
    places = [np.flatnonzero(y == k) for k in classes]
    seen = [weights[:, own].sum(axis=1) > 0 for own in places]
    short = np.flatnonzero(~np.logical_and.reduce(seen, axis=0))
    for own in places if len(short) else ():
        again = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), len(short))
        weights[short[:, None], own] = again
    return weights


def draw(
    statistic: Statistic,
    y: Ints,
    scores: Floats,
    weights: Floats,
    *,
    patients: int,
    kappa_weights: Weights = "unweighted",
    thresholds: Sequence[float | None] = (),
    of_class: int | None = None,
) -> Draws:
    """Compute a statistic on all cases and on every draw.

    y: (n,); scores: (S, n, classes), one slice per seed; weights: (B, n). thresholds:
    of class 1 for F1, sensitivity and specificity of two classes, one per seed, chosen
    on validation; where one is None the statistic is undefined. of_class: the AUC of
    this class against the rest. Else the prediction is the class with the largest
    score, the first of equals.
    """
    every = np.concatenate([np.ones((1, len(y))), weights])
    columns, defined = [], []
    for seed, of_seed in enumerate(scores):
        classes = of_seed.shape[1]
        if statistic == "auc":
            value, known = auc(y, of_seed, every, of_class)
        elif statistic == "kappa":
            value, known = kappa(y, of_seed, every, kappa_weights)
        else:
            chosen = thresholds[seed] if thresholds else None
            predicted = predicted_classes(of_seed, chosen)
            value, known = OF_CLASSES[statistic](y, predicted, classes, every)
            if chosen is None and classes == 2:
                known = np.zeros_like(known)
        columns.append(value)
        defined.append(known)
    found = np.stack(columns, axis=1)
    usable: Bools = np.all(np.stack(defined, axis=1), axis=1)
    if not usable[0]:
        usable = np.zeros_like(usable)
    return Draws(found[0], found[1:], usable[1:], len(y), patients)


def interval(
    draws: Draws,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    over: Over = "both",
    plain: bool = False,
) -> Intervals | None:
    """Interval of the mean over seeds of a statistic; None where it is undefined.

    Seeds are resampled too; the percentiles' distances from the estimate are stretched
    so that their spread is that of the variance components of cases and seeds, and by
    Student's t over the normal quantile: the small-sample correction of `two_way`.
    over: resample cases alone, or seeds alone. plain: the percentiles as they are,
    without a correction for few seeds. The result has one group.
    """
    if not draws.usable.any():
        return None
    drawn, seeds, patients = draws.drawn[draws.usable], len(draws.value), draws.patients
    if over == "seeds":
        drawn = np.broadcast_to(draws.value, drawn.shape)
    estimate = float(draws.value.mean())
    spread, freedom, rule = combine(
        _draw_components(drawn, draws.value, patients), over=over
    )
    counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), len(drawn)) / seeds
    if over == "cases":
        counts = np.full_like(counts, 1 / seeds)
    resampled = np.einsum("bs,bs->b", drawn, counts)
    away = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - estimate
    rough = float(resampled.std())
    wider = float(quantile(freedom, level)[0]) / float(ndtri(0.5 + level / 2))
    stretch = wider * float(spread[0]) / rough if rough > 0 else 0.0
    if plain:
        stretch, spread = 1.0, np.array([rough])
    if rule[0] == NONE:
        stretch = 0.0
    low, high = estimate + np.minimum(away[0], 0) * stretch, away[1]
    high = estimate + max(float(high), 0.0) * stretch
    one = np.ones(1, dtype=np.int64)
    return Intervals(
        np.array([estimate]), np.array([low]), np.array([high]), spread, rule,
        one * draws.cases, one * patients, one * seeds, freedom,
    )  # fmt: skip


def _draw_components(drawn: Floats, value: Floats, patients: int) -> Components:
    """Variance components from draws (B, S) over cases and values (S,) of seeds."""
    seeds = len(value)
    # A resample of n varies (n-1)/n as much as a fresh sample.
    fresh = patients / max(patients - 1, 1)
    centre = drawn.mean(axis=1)
    by_case = centre.var() * fresh
    by_seed = value.var(ddof=1) / seeds if seeds > 1 else 0.0
    rest = 0.0
    if seeds > 1:
        apart = (drawn - centre[:, None]).var(axis=0).sum() / (seeds - 1)
        rest = apart * fresh / seeds
    counts = (np.array([patients]), np.array([seeds]))
    return Components(
        np.array([by_case]), np.array([by_seed]), np.array([rest]), *counts
    )
