"""How much better a model looks on the cases that chose it than on unseen ones.

What is chosen on validation, a step, a learning rate, a point of a grid, is chosen for
its luck there too: validation scores are too good by this much, the more so the fewer
the cases and the larger the choice (Efron, JASA 81 (1986) 461, calls it optimism).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd

from ..metrics.classification import Weights
from ..schema.style import Choice
from .classified import TWO_WAY, draw_groups
from .intervals import Ints
from .predictions import Draws, interval
from .scores import Layout
from .weighted import Statistic

# Added to the seed of validation's resampling, per fold: apart from that of test cases.
_APART = 1_000_003


@dataclass(frozen=True)
class Bounded:
    """A value with its interval; low and high are None where nothing varies."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Optimism:
    """A statistic of a group on both sides, and validation minus test.

    None where it is undefined, as where validation lacks a class or has no cases.
    cases: of validation (of one fold) and of test; seeds: that both sides have.
    """

    validation: Bounded | None
    test: Bounded | None
    difference: Bounded | None
    cases: tuple[int, int]
    seeds: int


Columns = tuple[Draws, Ints]


def optimism(
    validation: pd.DataFrame,
    test: pd.DataFrame,
    layout: Layout,
    statistic: Statistic,
    *,
    kappa_weights: Mapping[str, Weights],
    choice: Choice = TWO_WAY,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
) -> dict[int, Optimism]:
    """Return validation beside test for each group, by its place in the layout.

    validation, test: rows of both sides as `draw_groups` takes them. The patients of
    the two sides are others, so they are resampled apart; seeds are paired. Folds have
    validation cases of their own: they are resampled each for itself, then averaged.
    """
    fold = layout.cells.fold.to_numpy()
    sides: tuple[dict[int, list[Columns]], ...] = ({}, {})
    for number in np.unique(fold):
        for side, rows in enumerate((validation, test)):
            mine = rows[fold[rows.cell.to_numpy()] == number]
            if not len(mine):
                continue
            apart = 0 if side else _APART * (int(number) + 1)
            found = draw_groups(
                mine, layout, statistic, kappa_weights=kappa_weights,
                seed=seed + apart, draws=draws,
            )  # fmt: skip
            for drawn in found.values():
                for group, own in drawn.draws.items():
                    pair = own, drawn.columns[group]
                    sides[side].setdefault(group, []).append(pair)
    means = [{group: _mean(some) for group, some in side.items()} for side in sides]

    def bounded(one: Draws) -> Bounded | None:
        rng = np.random.default_rng([seed, 1])
        plain = choice.interval != "components"
        found = interval(one, rng, level=level, over=choice.over, plain=plain)
        if found is None:
            return None
        if not found.rule[0]:
            return Bounded(float(found.mean[0]), None, None)
        return Bounded(*(float(x[0]) for x in (found.mean, found.low, found.high)))

    result = {}
    for group, (unseen, columns) in means[1].items():
        if group not in means[0]:
            cases = (0, unseen.cases)
            result[group] = Optimism(None, bounded(unseen), None, cases, len(columns))
            continue
        chosen, seeds = means[0][group]
        shared, here, there = np.intersect1d(seeds, columns, return_indices=True)
        chosen, unseen = chosen.take(here), unseen.take(there)
        less = replace(
            chosen.plus(unseen.times(-1.0)),
            patients=min(chosen.patients, unseen.patients),
        )
        sizes = chosen.cases, unseen.cases
        if not len(shared):
            result[group] = Optimism(None, None, None, sizes, 0)
            continue
        result[group] = Optimism(
            bounded(chosen), bounded(unseen), bounded(less), sizes, len(shared)
        )
    return result


def _mean(folds: Sequence[Columns]) -> Columns:
    """Return the mean over folds of the columns that every fold has."""
    shared = reduce(np.intersect1d, (columns for _, columns in folds))
    parts = [
        draws.take(np.searchsorted(columns, shared)).times(1 / len(folds))
        for draws, columns in folds
    ]
    return reduce(Draws.plus, parts), shared
