"""Contrasts: weighted sums of groups of one task, paired by case and seed.

A difference, a gap between label budgets, a slope over corpus sizes and a ratio near its
value are all contrasts. They work alike for metrics of cases and of runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .classified import Drawn
from .estimate import Estimate, estimate
from .intervals import Bools, Scores, two_way
from .predictions import Draws
from .scores import Stacked

Weights = Mapping[int, float]  # by group: its place in the layout


class TaskScores(Protocol):
    """Scores of the groups of one task, whatever the metric."""

    def value(self, group: int) -> float | None:
        """Return a group's mean, None where it has none."""

    def contrast(self, weights: Weights, *, level: float = 0.95) -> Estimate | None:
        """Return the weighted sum of groups, on what all of them have in common.

        None where a group has no score or nothing is in common.
        """


@dataclass(frozen=True)
class CaseScores:
    """Groups of a metric that has a value per case."""

    stacked: Stacked

    def value(self, group: int) -> float | None:
        """Return a group's mean over its cases and seeds."""
        at = self._at(group)
        if at is None:
            return None
        count = int(self.stacked.scores.present[at].sum())
        return float(self.stacked.scores.values[at].sum() / count)

    def contrast(self, weights: Weights, *, level: float = 0.95) -> Estimate | None:
        """Return the weighted sum over cases and seeds that all groups have."""
        places = [self._at(group) for group in weights]
        if not places or None in places:
            return None
        index = np.array(places, dtype=np.int64)
        some = self.stacked.scores.take(index)
        present: Bools = np.all(some.present, axis=0, keepdims=True)
        amounts = np.array(list(weights.values()))
        sums = np.einsum("g,gns->ns", amounts, some.values)[None]
        joined = Scores(np.where(present, sums, 0.0), present, some.patient)
        return estimate(two_way(joined, level=level))

    def _at(self, group: int) -> int | None:
        at = np.flatnonzero(self.stacked.groups == group)
        if not len(at) or not self.stacked.scores.present[at[0]].any():
            return None
        return int(at[0])


@dataclass(frozen=True)
class RunScores:
    """Groups of a metric that exists per run only (AUC, kappa, F1 and the like)."""

    drawn: Drawn

    def value(self, group: int) -> float | None:
        """Return a group's mean over its seeds."""
        one = self.drawn.draws.get(group)
        if one is None or not one.usable.any():
            return None
        return float(one.value.mean())

    def contrast(self, weights: Weights, *, level: float = 0.95) -> Estimate | None:
        """Return the weighted sum under the seeds that all groups have."""
        if not weights or any(self.value(group) is None for group in weights):
            return None
        labels = [self.drawn.columns[group] for group in weights]
        shared = labels[0]
        for more in labels[1:]:
            shared = np.intersect1d(shared, more)
        if not len(shared):
            return None
        total: Draws | None = None
        for (group, weight), own in zip(weights.items(), labels, strict=True):
            mine = self.drawn.draws[group].take(np.searchsorted(own, shared))
            total = (
                mine.times(weight) if total is None else total.plus(mine.times(weight))
            )
        assert total is not None
        return estimate(self.drawn.interval_of(total, level=level))


def task_scores(
    stacked: Mapping[str, Stacked] | None = None,
    drawn: Mapping[str, Drawn] | None = None,
) -> dict[str, TaskScores]:
    """Return the scores of each task, from either kind of metric."""
    found: dict[str, TaskScores] = {
        task: CaseScores(one) for task, one in (stacked or {}).items()
    }
    found |= {task: RunScores(one) for task, one in (drawn or {}).items()}
    return found


def relative(
    scores: TaskScores, group: int, base: int, *, level: float = 0.95
) -> Estimate | None:
    """Return 100 (group - base) / base in percent; None where base is 0.

    The interval is that of the ratio's linear form at its value, which takes both
    means' doubt and their pairing into account.
    """
    value, other = scores.value(group), scores.value(base)
    if value is None or other is None or other == 0:
        return None
    linear = scores.contrast(
        {group: 100 / other, base: -100 * value / other**2}, level=level
    )
    if linear is None:
        return None
    centre = 100 * (value - other) / other
    return Estimate(
        centre,
        None if linear.low is None else centre + linear.low - linear.value,
        None if linear.high is None else centre + linear.high - linear.value,
        linear.spread,
        linear.freedom,
        linear.cases,
        linear.seeds,
    )
