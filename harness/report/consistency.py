"""How alike feature reuse is with few labels and with many (METHODS 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analyse.estimate import Estimate, clipped, over_runs
from .alignment import LIMITS, Aligned, by_setting
from .table import budget_order


@dataclass(frozen=True)
class Consistency:
    """How alike reuse is with few labels and with many, mean over runs (METHODS 4.4)."""

    few: Aligned
    many: str
    estimate: Estimate
    layers: int
    runs: tuple[tuple[tuple[int, ...], float], ...]
    keys: tuple[str, ...]


def consistencies(found: Sequence[Aligned]) -> list[Consistency]:
    """Return 1 - mean over layers of |reuse with few labels - with the most|, per method.

    Every smaller label budget is held against the largest, run by run: the same
    pretraining, seed and fold.
    """
    grouped: dict[tuple[str, ...], list[list[Aligned]]] = {}
    for first, layers in by_setting(found):
        place = (first.analysis, first.task, first.protocol, first.method)
        grouped.setdefault(place, []).append(layers)
    made = []
    for some in grouped.values():
        *fewer, most = sorted(some, key=lambda each: budget_order(each[0].label_budget))
        for few in fewer:
            one = _consistency(few, most)
            if one is not None:
                made.append(one)
    return made


def _consistency(few: Sequence[Aligned], many: Sequence[Aligned]) -> Consistency | None:
    of_many = {(one.layer, run): value for one in many for run, value in one.runs}
    apart: dict[tuple[int, ...], list[float]] = {}
    for one in few:
        for run, value in one.runs:
            if (one.layer, run) in of_many:
                gap = abs(value - of_many[one.layer, run])
                apart.setdefault(run, []).append(gap)
    if not apart:
        return None
    runs = tuple((run, 1 - float(np.mean(gaps))) for run, gaps in apart.items())
    over = over_runs([value for _, value in runs], level=few[0].level)
    keys = dict.fromkeys(key for one in (*few, *many) for key in one.keys)
    layers = max(map(len, apart.values()))
    most = many[0].label_budget
    return Consistency(few[0], most, clipped(over, LIMITS), layers, runs, tuple(keys))
