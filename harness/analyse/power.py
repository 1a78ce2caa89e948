"""What a comparison of this size can see, and what size it would need."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import stdtrit

from .intervals import Components, Floats, Ints, Scores, combine, components

_ENDLESS = 1e6  # a study of more units than this is not planned


@dataclass(frozen=True)
class Needed:
    """Patients, or seeds, that an observed difference needs; None: none suffice.

    Each is with the other as it is. Where the variance between seeds alone hides the
    difference, no number of patients shows it, and the other way round.
    """

    patients: int | None
    seeds: int | None


def detectable(
    differences: Scores, *, alpha: float = 0.05, power: float = 0.8
) -> Floats:
    """Return the smallest true difference found with this power, per row.

    That of a two-sided t-test at `alpha` with the standard error and the degrees of
    freedom of `two_way`: the sum of its two quantiles times the error. Infinite where there
    is one patient and one seed, and nothing can be tested.
    """
    _, parts, _ = components(differences)
    spread, freedom, rule = combine(parts)
    found: Floats = np.where(rule > 0, _reach(freedom, alpha, power) * spread, np.inf)
    return found


def needed(
    differences: Scores, *, alpha: float = 0.05, power: float = 0.8
) -> list[Needed]:
    """Return how many patients or seeds would show the observed differences.

    The variance components of the rows are taken for true and the degrees of freedom
    for given, so this is a guide for planning, not a promise.
    """
    mean, parts, _ = components(differences)
    _, freedom, _ = combine(parts)
    budget = np.square(mean / _reach(freedom, alpha, power))
    by_patient, by_seed, rest = _shares(parts)
    patients = _count(parts.patients, by_patient + rest, budget - by_seed)
    seeds = _count(parts.columns, by_seed + rest, budget - by_patient)
    return [Needed(one, two) for one, two in zip(patients, seeds, strict=True)]


def _reach(freedom: Floats, alpha: float, power: float) -> Floats:
    reach: Floats = stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power)
    return reach


def _shares(parts: Components) -> tuple[Floats, Floats, Floats]:
    """Variance of the mean due to patients, to seeds and to the rest, none negative."""
    one_way = np.minimum(parts.patients, parts.columns) < 2
    rest = np.where(one_way, 0.0, parts.rest)
    by_patient = np.where(parts.patients > 1, parts.cases - rest, 0.0)
    by_seed = np.where(parts.columns > 1, parts.seeds - rest, 0.0)
    return np.maximum(by_patient, 0.0), np.maximum(by_seed, 0.0), rest


def _count(now: Ints, shrinks: Floats, room: Floats) -> list[int | None]:
    """How many units bring a variance that shrinks with their number into the room."""
    wanted = now * shrinks / np.where(room > 0, room, 1.0)
    possible = (room > 0) & (now > 1) & (wanted < _ENDLESS)
    return [
        max(2, ceil(some)) if can else None
        for some, can in zip(wanted, possible, strict=True)
    ]
