"""Bootstraps of a mean over cases and seeds: two-way, over cases, over seeds.

All groups of a task share what is drawn, so that differences between them are paired.
A mean under a draw is a bilinear form of counts, (u'Xv) / (u'Mv), so that two matrix
products do all draws of all groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..schema.style import Choice, Over
from .intervals import (
    CASES,
    NONE,
    SEEDS,
    Bools,
    Floats,
    Intervals,
    Ints,
    Scores,
    by_patient,
    two_way,
)

Kind = Literal["percentile", "bca"]
BCA_UNITS = 20  # below, the acceleration of BCa is too noisy (ENGINE 4.1)
_GROUPS_AT_ONCE = 128  # bounds memory: draws x groups x seeds numbers


@dataclass(frozen=True)
class Resample:
    """B draws for the groups of one task.

    cases: (B, N) how often each case counts; cases of one patient count alike.
    luck: (B, S) in [0, 1), from which each group draws among its own seeds, so that
    what a group gets does not depend on the other groups. over: what varies.
    """

    cases: Floats
    luck: Floats
    over: Over = "both"

    @classmethod
    def draw(
        cls,
        patient: Ints,
        seeds: int,
        rng: np.random.Generator,
        *,
        draws: int = 2000,
        over: Over = "both",
    ) -> Resample:
        """Draw patients with replacement, and luck for up to `seeds` seeds."""
        count = int(patient.max(initial=-1)) + 1
        picked = rng.integers(0, max(count, 1), (draws, count), dtype=np.int32)
        cases = _counts(picked, count)
        if len(patient) != count or (patient != np.arange(count)).any():
            cases = cases[:, patient]
        return cls(cases, rng.random((draws, seeds)), "both").only(over)

    def only(self, over: Over) -> Resample:
        """Return the same draws with only cases or only seeds varying."""
        cases = np.ones_like(self.cases) if over == "seeds" else self.cases
        return Resample(cases, self.luck, over)

    def seed_counts(self, own: Bools) -> Floats:
        """How often each draw takes each seed where `own` (S,) is true: (B, S)."""
        draws, places = len(self.luck), np.flatnonzero(own)
        counts = np.zeros((draws, len(own)))
        if self.over == "cases" or len(places) < 2:
            counts[:, places] = 1.0
            return counts
        picked = (self.luck[:, : len(places)] * len(places)).astype(np.int64)
        return _counts(places[picked], len(own))

    def means(self, scores: Scores) -> tuple[Floats, Bools]:
        """Return the mean of every group under every draw, (B, G), and where it is.

        A draw in which a group has no score at all has no mean: it is given as 0.
        """
        patterns = self.patterns(scores)
        if len(patterns) == 1 and len(scores.values) <= _GROUPS_AT_ONCE:
            found, known = _bilinear(scores, self.cases, patterns[0][1])
            return found.T, known.T
        means = np.zeros((len(scores.values), len(self.cases)))
        usable = np.zeros(means.shape, dtype=bool)
        for some, counts in patterns:
            for part in _chunks(some):
                found, known = _bilinear(scores.take(part), self.cases, counts)
                means[part], usable[part] = found, known
        return means.T, usable.T

    def patterns(self, scores: Scores) -> list[tuple[Ints, Floats]]:
        """Return groups that have the same seeds, with the counts of those seeds."""
        own: Bools = np.any(scores.present, axis=1)
        if len(own) and (own == own[0]).all():
            return [(np.arange(len(own)), self.seed_counts(own[0]))]
        kinds, which = np.unique(own, axis=0, return_inverse=True)
        return [
            (np.flatnonzero(which.ravel() == place), self.seed_counts(kind))
            for place, kind in enumerate(kinds)
        ]


def _chunks(places: Ints) -> list[Ints]:
    return np.array_split(places, max(1, -(-len(places) // _GROUPS_AT_ONCE)))


def _counts(picked: NDArray[np.integer], width: int) -> Floats:
    """How often each of 0..width-1 stands in each row of (B, K): (B, width)."""
    rows = np.arange(len(picked))[:, None] * width
    flat = np.bincount((rows + picked).ravel(), minlength=len(picked) * width)
    return flat.reshape(len(picked), width).astype(np.float64)


def _bilinear(scores: Scores, u: Floats, v: Floats) -> tuple[Floats, Bools]:
    """Means (G, B) under case counts u (B, N) and seed counts v (B, S), and where."""
    groups, cases, seeds = scores.values.shape
    if not groups or not cases or not seeds:
        empty = np.zeros((groups, len(u)))
        return empty, empty > 0
    top = _weighted(scores.values, u, v)
    if scores.present.all():
        bottom = (u.sum(axis=1) * v.sum(axis=1))[None]
        if bottom.min() > 0:
            top *= 1 / bottom
            return top, np.ones((1, 1), dtype=bool).repeat(len(u), 1).repeat(groups, 0)
    else:
        bottom = _weighted(scores.present.astype(np.float64), u, v)
    usable: Bools = bottom > 0
    if not usable.all():
        top, bottom = np.where(usable, top, 0.0), np.where(usable, bottom, 1.0)
    return top / bottom, np.broadcast_to(usable, top.shape)


def _weighted(values: Floats, u: Floats, v: Floats) -> Floats:
    """Sum (G, N, S) over cases weighted by u (B, N) and seeds by v (B, S): (G, B)."""
    groups, cases, seeds = values.shape
    by_seed = values.transpose(0, 2, 1).reshape(groups * seeds, cases) @ u.T
    by_seed = by_seed.reshape(groups, seeds, len(u))
    found: Floats = np.einsum("gsb,sb->gb", by_seed, np.ascontiguousarray(v.T))
    return found


def bootstrap(
    scores: Scores,
    rng: np.random.Generator | Resample,
    *,
    draws: int = 2000,
    level: float = 0.95,
    over: Over = "both",
    kind: Kind = "percentile",
) -> Intervals:
    """Bootstrap intervals of the mean, resampling patients, seeds or both.

    rng: a generator, or draws made before (then `draws` and `over` are theirs). No
    small-sample correction: with few seeds these are narrower than `two_way`
    (docs/results/statistics.md). `bca` corrects for bias and skewness and exists
    one-way only; below 20 units, and where it is undefined, the percentile is given and
    `corrected` is false. Draws in which a group has no score are left out. Rules for
    one seed or one case as in `two_way`. Raises ValueError for a two-way BCa.
    """
    if not isinstance(rng, Resample):
        rng = Resample.draw(
            scores.patient, scores.values.shape[2], rng, draws=draws, over=over
        )
    if kind == "bca" and rng.over == "both":
        msg = "BCa exists over cases or over seeds, not over both"
        raise ValueError(msg)
    means, usable = rng.means(scores)
    found = _summary(scores, rng.over)
    tails = np.full((len(found.mean), 2), [(1 - level) / 2, (1 + level) / 2])
    if kind == "bca":
        tails, corrected = _bca_tails(scores, found, means, usable, rng.over, level)
        found = replace(found, corrected=corrected)
    low, high, spread = quantiles(means, usable, tails)
    bare = found.rule == NONE
    if not usable.all():
        bare = bare | ~usable.any(axis=0)
    return replace(
        found,
        low=np.where(bare, found.mean, low),
        high=np.where(bare, found.mean, high),
        spread=np.where(bare, 0.0, spread),
    )


def quantiles(
    drawn: Floats, usable: Bools, tails: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return low and high quantiles and the SD of each column of (B, G) draws.

    tails: (G, 2) shares in [0, 1]. Only usable draws count; without any all are 0.
    """
    columns = np.ascontiguousarray(drawn.T)
    if not columns.size:
        none = np.zeros(len(columns))
        return none, none, none
    if usable.all():
        count = np.full(len(columns), len(drawn))
        ordered, spread = np.sort(columns, axis=1), columns.std(axis=1)
    else:
        count = usable.sum(axis=0)
        ordered = np.sort(np.where(usable.T, columns, np.inf), axis=1)
        mean = np.where(usable.T, columns, 0.0).sum(axis=1) / np.maximum(count, 1)
        away = np.where(usable.T, columns - mean[:, None], 0.0)
        spread = np.sqrt(np.square(away).sum(axis=1) / np.maximum(count, 1))
    # A full sort and linear interpolation: faster than np.quantile, equal to it.
    place = tails * np.maximum(count - 1, 0)[:, None]
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0)[:, None])
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, above, axis=1)
    known = (count > 0)[:, None]
    low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
    bounds = low + (high - low) * (place - below)
    return bounds[:, 0], bounds[:, 1], spread


def _bca_tails(
    scores: Scores,
    found: Intervals,
    means: Floats,
    usable: Bools,
    over: Over,
    level: float,
) -> tuple[Floats, Bools]:
    """Shares (G, 2) at which BCa reads the draws, and where it is defined.

    Efron, JASA 82 (1987): z0 from the share of draws below the mean (ties half), the
    acceleration from leaving out one unit at a time.
    """
    units = found.patients if over == "cases" else found.seeds
    total = np.maximum(usable.sum(axis=0), 1)
    below = ((means < found.mean) & usable).sum(axis=0)
    ties = ((means == found.mean) & usable).sum(axis=0)
    share = (below + ties / 2) / total
    acceleration, varies = _acceleration(scores, over)
    defined = (units >= BCA_UNITS) & varies & (share > 0) & (share < 1)
    z0 = ndtri(np.where(defined, share, 0.5))[:, None]
    plain = np.array([(1 - level) / 2, (1 + level) / 2])
    shifted = z0 + ndtri(plain)
    scale = 1 - acceleration[:, None] * shifted
    defined &= (scale > 0).all(axis=1)
    tails = ndtr(z0 + shifted / np.where(scale > 0, scale, 1.0))
    return np.where(defined[:, None], tails, plain), defined


def _acceleration(scores: Scores, over: Over) -> tuple[Floats, Bools]:
    axis = 2 if over == "cases" else 1
    sums = by_patient(scores.values, scores.patient).sum(axis=axis)
    counts = by_patient(scores.present.astype(np.float64), scores.patient)
    counts = counts.sum(axis=axis)
    left = counts.sum(axis=1, keepdims=True) - counts
    without = (sums.sum(axis=1, keepdims=True) - sums) / np.maximum(left, 1)
    known = (counts > 0) & (left > 0)
    number = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centre = np.where(known, without, 0.0).sum(axis=1, keepdims=True) / number
    away = np.where(known, centre - without, 0.0)
    size = np.abs(centre)
    away[np.abs(away) <= 1e-14 * size] = 0.0
    squares = np.square(away).sum(axis=1)
    varies = squares > 0
    scale = np.where(varies, 6 * np.where(varies, squares, 1.0) ** 1.5, 1.0)
    return (away**3).sum(axis=1) / scale, varies


def _summary(scores: Scores, over: Over) -> Intervals:
    """Means, counts and rules; bounds are still those of no interval."""
    present = scores.present
    total = present.sum(axis=(1, 2))
    mean = scores.values.sum(axis=(1, 2)) / np.maximum(total, 1)
    seeds = present.any(axis=1).sum(axis=1)
    any_seed: Bools = np.any(present, axis=2, keepdims=True)
    seen = by_patient(any_seed.astype(np.float64), scores.patient) > 0
    patients = seen.any(axis=2).sum(axis=1)
    cases = CASES * ((patients > 1) & (over != "seeds"))
    rule = cases + SEEDS * ((seeds > 1) & (over != "cases"))
    rule = np.where(total > 0, rule, NONE)
    counted = present.any(axis=2).sum(axis=1)
    none = np.zeros(len(mean))
    return Intervals(mean, mean, mean, none, rule, counted, patients, seeds)


def case_intervals(
    scores: Scores, choice: Choice, resample: Resample | None, *, level: float
) -> Intervals:
    """Return the intervals of a mean over cases that a style asks for.

    resample: draws of the task, needed for percentile and BCa intervals; its `over` is
    replaced by that of the choice.
    """
    if choice.interval == "components" or resample is None:
        return two_way(scores, level=level, over=choice.over)
    return bootstrap(
        scores, resample.only(choice.over), level=level, kind=choice.interval
    )
