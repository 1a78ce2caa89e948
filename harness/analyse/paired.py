"""Tests of paired differences beside Wilcoxon's: Student's t and sign flips."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from .intervals import Bools, Floats, Ints, Scores, by_patient

_ENUMERATED = 12  # up to 2**12 patterns of signs are listed rather than drawn


def unit_means(scores: Scores) -> tuple[Floats, Bools]:
    """Return one score per patient, (G, P), and where there is one.

    The mean over seeds of each case, then over the cases of each patient: the units
    that tests over cases treat as independent.
    """
    per_case = scores.present.sum(axis=2)
    means = scores.values.sum(axis=2) / np.maximum(per_case, 1)
    known = per_case > 0
    total = by_patient(np.where(known, means, 0.0)[..., None], scores.patient)[..., 0]
    count = by_patient(known[..., None].astype(np.float64), scores.patient)[..., 0]
    return total / np.maximum(count, 1), count > 0


def paired_t(differences: Floats, present: Bools) -> tuple[Floats, Bools]:
    """Return two-sided p-values of Student's t over each row (K, N), and where defined.

    Undefined with fewer than two differences or where all are equal.
    """
    count = present.sum(axis=1)
    mean, spread = moments(differences, present)
    defined = (count > 1) & (spread > 0)
    error = np.where(defined, spread, 1.0) / np.sqrt(np.maximum(count, 1))
    p = 2 * stdtr(np.maximum(count - 1, 1), -np.abs(mean) / error)
    return np.where(defined, p, 1.0), defined


def moments(values: Floats, present: Bools) -> tuple[Floats, Floats]:
    """Return mean and sample SD of each row (K, N); rounding is no spread."""
    count = present.sum(axis=1)
    mean = np.where(present, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    away = np.where(present, values - mean[:, None], 0.0)
    size = np.abs(np.where(present, values, 0.0)).max(axis=1, initial=0.0)
    away[np.abs(away) <= 1e-14 * size[:, None]] = 0.0
    spread = np.sqrt(np.square(away).sum(axis=1) / np.maximum(count - 1, 1))
    return mean, spread


def sign_flip(
    differences: Floats,
    present: Bools,
    rng: np.random.Generator,
    *,
    draws: int = 10_000,
) -> tuple[Floats, Ints]:
    """Return two-sided p-values of the mean under random signs, and non-zero counts.

    differences: (K, N). Up to 12 non-zero differences all signs are tried, which is
    exact; above, `draws` of them, counting the observed signs as one more (Phipson and
    Smyth 2010), so p is at least 1 / (draws + 1).
    """
    values = np.where(present, differences, 0.0)
    nonzero = (values != 0).sum(axis=1).astype(np.int64)
    p = np.ones(len(values))
    for row in np.flatnonzero((nonzero > 0) & (nonzero <= _ENUMERATED)):
        own = values[row][values[row] != 0]
        patterns = (np.arange(2 ** len(own))[:, None] >> np.arange(len(own))) & 1
        sums = (2.0 * patterns - 1) @ own
        p[row] = _at_least(sums[None], own.sum()[None])[0] / len(sums)
    many = np.flatnonzero(nonzero > _ENUMERATED)
    if len(many):
        signs = 2.0 * rng.integers(0, 2, (values.shape[1], draws)) - 1
        found = _at_least(values[many] @ signs, values[many].sum(axis=1))
        p[many] = (found + 1) / (draws + 1)
    return p, nonzero


def _at_least(sums: Floats, observed: Floats) -> Ints:
    """Count sums as far from 0 as the observed one, equal up to rounding."""
    edge = np.abs(observed) * (1 - 1e-12)
    count: Ints = (np.abs(sums) >= edge[:, None]).sum(axis=1)
    return count
