"""AUC and kappa of stored predictions, with intervals over cases and seeds.

Neither is a mean of cases, so cases are resampled: a draw gives each case a weight (how
often it was drawn), the same for every method and seed of a task, and the statistic is
computed with these weights. That keeps methods paired by case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from ..metrics.classification import Weights, disagreement
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

Statistic = Literal["auc", "kappa"]
_DENSE = 2_000_000  # pairs of cases; above, sorting is cheaper than all pairs


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

    def minus(self, other: Draws, own: Ints, theirs: Ints) -> Draws:
        """Differences on the same cases under the same seeds (places of columns)."""
        return Draws(
            self.value[own] - other.value[theirs],
            self.drawn[:, own] - other.drawn[:, theirs],
            self.usable & other.usable,
            self.cases,
            self.patients,
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
) -> Draws:
    """Compute a statistic on all cases and on every draw.

    y: (n,); scores: (S, n, classes), one slice per seed; weights: (B, n).
    The prediction is the class with the largest score, the first of equals.
    """
    every = np.concatenate([np.ones((1, len(y))), weights])
    columns, defined = [], []
    for of_seed in scores:
        if statistic == "auc":
            value, known = _auc(y, of_seed, every)
        else:
            value, known = _kappa(y, of_seed, every, kappa_weights)
        columns.append(value)
        defined.append(known)
    found = np.stack(columns, axis=1)
    usable: Bools = np.all(np.stack(defined, axis=1), axis=1)
    if not usable[0]:
        usable = np.zeros_like(usable)
    return Draws(found[0], found[1:], usable[1:], len(y), patients)


def _auc(y: Ints, scores: Floats, weights: Floats) -> tuple[Floats, Bools]:
    """Weighted macro one-vs-rest area of every row of weights (B, n)."""
    classes = scores.shape[1]
    total, known = np.zeros(len(weights)), np.ones(len(weights), dtype=bool)
    columns = [1] if classes == 2 else list(range(classes))
    for k in columns:
        pos, neg = weights[:, y == k], weights[:, y != k]
        pairs = pos.sum(axis=1) * neg.sum(axis=1)
        known &= pairs > 0
        higher, lower = scores[y == k, k], scores[y != k, k]
        dense = len(higher) * len(lower) <= _DENSE
        wins = (_wins_dense if dense else _wins_sorted)(higher, lower, pos, neg)
        total += wins / np.where(pairs > 0, pairs, 1.0)
    return total / len(columns), known


def _wins_dense(pos: Floats, neg: Floats, w_pos: Floats, w_neg: Floats) -> Floats:
    """Weighted count of positive-negative pairs in order, ties half: (B,)."""
    # Halves and small integers are exact in single precision, which is twice as fast.
    half = np.float32(0.5)
    order = np.sign(pos[:, None] - neg[None, :]).astype(np.float32) * half + half
    beaten = w_pos.astype(np.float32) @ order
    wins: Floats = np.einsum("bn,bn->b", beaten, w_neg, dtype=np.float64)
    return wins


def _wins_sorted(pos: Floats, neg: Floats, w_pos: Floats, w_neg: Floats) -> Floats:
    """Count the same from cumulated weights of the sorted negatives."""
    order = np.argsort(neg, kind="stable")
    ranked = neg[order]
    below = np.searchsorted(ranked, pos, side="left")
    up_to = np.searchsorted(ranked, pos, side="right")
    wins = np.empty(len(w_pos))
    for row in range(len(w_pos)):
        sums = np.concatenate([[0.0], np.cumsum(w_neg[row, order])])
        wins[row] = w_pos[row] @ (sums[below] + sums[up_to]) / 2
    return wins


def _kappa(
    y: Ints, scores: Floats, weights: Floats, kind: Weights
) -> tuple[Floats, Bools]:
    """Weighted Cohen's kappa of every row of weights (B, n)."""
    classes = scores.shape[1]
    code = y * classes + scores.argmax(axis=1)
    hot = np.zeros((len(y), classes**2))
    hot[np.arange(len(y)), code] = 1
    joint = (weights @ hot).reshape(-1, classes, classes)
    cost = disagreement(classes, kind)
    chance = np.einsum("bi,ij,bj->b", joint.sum(axis=2), cost, joint.sum(axis=1))
    cost_found = np.einsum("bij,ij->b", joint, cost) * joint.sum(axis=(1, 2))
    known = chance > 0
    return 1 - cost_found / np.where(known, chance, 1.0), known


def interval(
    draws: Draws, rng: np.random.Generator, *, level: float = 0.95
) -> Intervals | None:
    """Interval of the mean over seeds of a statistic; None where it is undefined.

    Seeds are resampled too; the percentiles' distances from the estimate are stretched
    so that their spread is that of the variance components of cases and seeds, and by
    Student's t over the normal quantile: the small-sample correction of `two_way`.
    The result has one group.
    """
    if not draws.usable.any():
        return None
    drawn, seeds, patients = draws.drawn[draws.usable], len(draws.value), draws.patients
    estimate = float(draws.value.mean())
    spread, freedom, rule = combine(_draw_components(drawn, draws.value, patients))
    counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), len(drawn)) / seeds
    resampled = np.einsum("bs,bs->b", drawn, counts)
    away = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2]) - estimate
    rough = float(resampled.std())
    wider = float(quantile(freedom, level)[0]) / float(ndtri(0.5 + level / 2))
    stretch = wider * float(spread[0]) / rough if rough > 0 else 0.0
    if rule[0] == NONE:
        stretch = 0.0
    low, high = estimate + np.minimum(away[0], 0) * stretch, away[1]
    high = estimate + max(float(high), 0.0) * stretch
    one = np.ones(1, dtype=np.int64)
    return Intervals(
        np.array([estimate]), np.array([low]), np.array([high]), spread, rule,
        one * draws.cases, one * patients, one * seeds,
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
