"""The plain two-way bootstrap of a mean, for comparison with the default intervals."""

from __future__ import annotations

import numpy as np

from .intervals import CASES, NONE, SEEDS, Bools, Floats, Intervals, Ints, Scores

_GROUPS_AT_ONCE = 128  # bounds memory: draws x groups x seeds numbers


def bootstrap(
    scores: Scores,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    level: float = 0.95,
) -> Intervals:
    """Percentile intervals of the mean, resampling patients and seeds independently.

    The mean under a draw is a bilinear form of multinomial counts, (u'Xv) / (u'Mv), so
    two matrix products do all draws. All groups share the patients drawn. No
    small-sample correction: with few seeds these are narrower than `two_way`. Draws in
    which a group has no score are left out. Needs all seeds of a group in common
    columns; rules for one seed or one case as in `two_way`.
    """
    patients = int(scores.patient.max(initial=-1)) + 1
    picked = rng.multinomial(patients, np.full(patients, 1 / max(patients, 1)), draws)
    u = picked[:, scores.patient].astype(np.float64)
    chunks = []
    for start in range(0, len(scores.values), _GROUPS_AT_ONCE):
        part = scores.take(
            np.arange(start, min(start + _GROUPS_AT_ONCE, len(scores.values)))
        )
        chunks.append(_quantiles(part, u, rng, level))
    low, high, spread = (np.concatenate(some) for some in zip(*chunks, strict=True))
    return _intervals(scores, low, high, spread)


def _quantiles(
    scores: Scores, u: Floats, rng: np.random.Generator, level: float
) -> tuple[Floats, Floats, Floats]:
    groups, cases, seeds = scores.values.shape
    v = _seed_counts(scores, len(u), rng)
    flat = (
        np.moveaxis(a, 1, 0).reshape(cases, -1) for a in (scores.values, scores.present)
    )
    top, bottom = (
        np.einsum("bgs,bgs->bg", (u @ a).reshape(len(u), groups, seeds), v)
        for a in flat
    )
    usable = bottom > 0
    means = np.where(usable, top, 0.0) / np.where(usable, bottom, 1.0)
    low, high, spread = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    tails = [(1 - level) / 2, (1 + level) / 2]
    for group in range(groups):
        kept = means[usable[:, group], group]
        if len(kept):
            low[group], high[group] = np.quantile(kept, tails)
            spread[group] = kept.std()
    return low, high, spread


def _seed_counts(scores: Scores, draws: int, rng: np.random.Generator) -> Floats:
    """How often each draw takes each of a group's own seeds: (draws, G, S)."""
    own = scores.present.any(axis=1)
    counts = np.zeros((draws, *own.shape))
    for pattern in np.unique(own, axis=0):
        some = np.flatnonzero((own == pattern).all(axis=1))
        number = int(pattern.sum())
        if number:
            drawn = rng.multinomial(number, np.full(number, 1 / number), draws)
            counts[:, some[:, None], np.flatnonzero(pattern)] = drawn[:, None]
    return counts


def _intervals(scores: Scores, low: Floats, high: Floats, spread: Floats) -> Intervals:
    present = scores.present
    total = present.sum(axis=(1, 2))
    mean = scores.values.sum(axis=(1, 2)) / np.maximum(total, 1)
    cases: Bools = np.any(present, axis=2)
    seeds = present.any(axis=1).sum(axis=1)
    patients = _patients(cases, scores.patient)
    rule = CASES * (patients > 1) + SEEDS * (seeds > 1)
    rule = np.where(total > 0, rule, NONE)
    bare = rule == NONE
    low, high = np.where(bare, mean, low), np.where(bare, mean, high)
    return Intervals(mean, low, high, spread, rule, cases.sum(axis=1), patients, seeds)


def _patients(cases: Bools, patient: Ints) -> Ints:
    return np.array([len(np.unique(patient[row])) for row in cases], dtype=np.int64)
