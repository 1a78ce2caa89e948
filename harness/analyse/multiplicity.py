"""Corrections of a family of p-values for how many they are."""

from __future__ import annotations

import numpy as np

from ..schema.style import Correction
from .intervals import Bools, Floats, Ints

NAMES: dict[Correction, str] = {
    "holm": "Holm",
    "bh": "Benjamini-Hochberg",
    "none": "none",
}


def adjust(p: Floats, defined: Bools, correction: Correction = "holm") -> Floats:
    """Return adjusted p-values of one family, in [0, 1]; 1 where `defined` is false.

    p: (K,) in [0, 1]. Undefined ones are dropped before anything is counted, so they
    do not make the family larger. Holm (Scandinavian Journal of Statistics 6, 1979)
    bounds the chance of any false finding, `bh` (Benjamini and Hochberg, JRSS B 57,
    1995) the expected share of false findings.

    >>> adjust(np.array([0.01, 0.04, 0.03, 0.5]), np.array([True, True, True, False]))
    array([0.03, 0.06, 0.06, 1.  ])
    """
    adjusted = np.ones(len(p))
    places = np.flatnonzero(defined)
    family = p[places]
    size = len(family)
    order = np.argsort(family, kind="stable")
    if correction == "holm":
        steps = family[order] * np.arange(size, 0, -1)
        steps = np.maximum.accumulate(steps)
    elif correction == "bh":
        steps = family[order] * size / np.arange(1, size + 1)
        steps = np.minimum.accumulate(steps[::-1])[::-1]
    else:
        steps = family[order]
    adjusted[places[order]] = np.minimum(steps, 1.0)
    return adjusted


def adjust_families(
    p: Floats, defined: Bools, family: Ints, correction: Correction = "holm"
) -> Floats:
    """Return p-values adjusted within each family; `family`: (K,) labels."""
    adjusted = np.ones(len(p))
    for one in np.unique(family):
        mine = np.flatnonzero(family == one)
        adjusted[mine] = adjust(p[mine], defined[mine], correction)
    return adjusted
