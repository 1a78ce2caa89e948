"""Effect sizes of paired differences, with intervals by resampling cases and seeds."""

from __future__ import annotations

import numpy as np

from .intervals import Bools, Floats, Scores, by_patient
from .paired import unit_means
from .resample import Resample, quantiles
from .signed_rank import sorted_ranks, tied
from .unpaired import Effects

PAIRED = ("median_difference", "rank_biserial", "improvement")


def paired_effects(
    differences: Scores, resample: Resample, *, level: float = 0.95
) -> dict[str, Effects]:
    """Return effect sizes of each row of differences, over patients' means over seeds.

    median_difference: in the units of the scores. rank_biserial: share of the ranks of
    sizes that is positive minus the share that is negative, in [-1, 1], zeros ranked
    and left out (Pratt). improvement: share of patients whose difference is positive,
    zeros half, in [0, 1]. Percentile intervals of the draws, which with few seeds are
    narrower than they should be. Undefined where a row has no difference.
    """
    points, known = unit_means(differences)
    rows = len(points)
    plain = _statistics(points, known, np.ones((1, points.shape[1])))[:, 0]
    first = np.unique(differences.patient, return_index=True)[1]
    weights = resample.cases[:, first]
    drawn = np.zeros((len(PAIRED), len(weights), rows))
    usable = np.zeros((len(weights), rows), dtype=bool)
    for some, counts in resample.patterns(differences):
        part = differences.take(some)
        patterns, which = np.unique(counts, axis=0, return_inverse=True)
        for place, pattern in enumerate(patterns):
            of_pattern = np.flatnonzero(which.ravel() == place)
            values, present = _weighted_units(part, pattern)
            at = np.ix_(of_pattern, some)
            found = _statistics(values, present, weights[of_pattern])
            drawn[:, at[0], at[1]] = found
            usable[at] = weights[of_pattern] @ present.T > 0
    tails = np.full((rows, 2), [(1 - level) / 2, (1 + level) / 2])
    defined: Bools = np.any(known, axis=1)
    return {
        name: Effects.of(plain[i], *quantiles(drawn[i], usable, tails)[:2], defined)
        for i, name in enumerate(PAIRED)
    }


def _weighted_units(scores: Scores, counts: Floats) -> tuple[Floats, Bools]:
    """Means of each patient with seeds weighted by counts (S,): (K, P), and where."""
    per_case = scores.present @ counts
    means = scores.values @ counts / np.where(per_case > 0, per_case, 1.0)
    known = per_case > 0
    total = by_patient(np.where(known, means, 0.0)[..., None], scores.patient)[..., 0]
    count = by_patient(known[..., None].astype(np.float64), scores.patient)[..., 0]
    return total / np.maximum(count, 1), count > 0


def _statistics(values: Floats, known: Bools, weights: Floats) -> Floats:
    """Weighted median, rank-biserial and improvement: (3, B, K).

    values, known: (K, P); weights: (B, P), whole numbers: how often a patient counts.
    """
    total = weights @ known.T
    positive = weights @ ((values > 0) & known).T.astype(np.float64)
    zero = weights @ ((values == 0) & known).T.astype(np.float64)
    share = (positive + zero / 2) / np.where(total > 0, total, 1.0)
    return np.stack(
        [
            _median(values, known, weights, total),
            _rank_biserial(values, known, weights),
            share,
        ]
    )


def _median(values: Floats, known: Bools, weights: Floats, total: Floats) -> Floats:
    order = np.argsort(np.where(known, values, np.inf), axis=1, kind="stable")
    ordered = np.take_along_axis(np.where(known, values, 0.0), order, axis=1)
    mine = np.take_along_axis(known, order, axis=1)
    cumulated = np.cumsum(weights[:, order] * mine, axis=2)  # (B, K, P)
    half = total[..., None] / 2
    lower, upper = (cumulated >= half).argmax(axis=2), (cumulated > half).argmax(axis=2)
    rows = np.arange(len(values))
    middle: Floats = (ordered[rows, lower] + ordered[rows, upper]) / 2
    return middle


def _rank_biserial(values: Floats, known: Bools, weights: Floats) -> Floats:
    ranks, signs, order = sorted_ranks(values, known)
    mine = np.take_along_axis(known, order, axis=1)
    own = weights[:, order] * mine
    cumulated = np.cumsum(own, axis=2)
    first, last = tied(ranks)
    rows = np.arange(len(values))[:, None]
    before = cumulated[:, rows, first] - own[:, rows, first]
    scores = own * (before + cumulated[:, rows, last] + 1) / 2 * np.abs(signs)
    whole = scores.sum(axis=2)
    found: Floats = (scores * signs).sum(axis=2) / np.where(whole > 0, whole, 1.0)
    return found
