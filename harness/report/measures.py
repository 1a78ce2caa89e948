"""What claims say beside scores, as far as a report has measured it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from ..analyse.estimate import Estimate, over_runs, weighted_sum
from ..schema.claims import METRICS, Side
from ..schema.errors import UserError
from .convergence import converged
from .evidence import Evidence

_HOUR = 3600.0


class Measures:
    """Answers `steps(a)`, `hours(a)` and `params(a)`; other quantities are unknown.

    Each is the mean over the tasks, protocols and label budgets that a side speaks of,
    all alike, as for scores. steps: the restricted mean of `analyse.convergence`. hours:
    wall time of an adaptation, mean over runs with Student's interval. params: those
    that an adaptation trains, exact.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.level = evidence.options.level
        self.known: Mapping[str, Callable[[str, Side], list[Estimate]]] = {
            "steps": self._steps, "hours": self._hours, "params": self._params,
        }  # fmt: skip

    def __call__(self, quantity: str, method: str, side: Side) -> Estimate | None:
        """Return a method's quantity, or None where it was not measured."""
        if quantity not in self.known:
            return None
        found = self.known[quantity](method, side)
        if not found:
            return None
        return weighted_sum(found, [1 / len(found)] * len(found), level=self.level)

    def _steps(self, method: str, side: Side) -> list[Estimate]:
        try:
            found, _ = converged(self.evidence)
        except UserError:
            return []
        return [
            one.restricted for one in found
            if one.method == method
            and _meant(side, one.task, one.protocol, one.label_budget)
        ]  # fmt: skip

    def _hours(self, method: str, side: Side) -> list[Estimate]:
        return [
            over_runs(own.wall_s.to_numpy() / _HOUR, level=self.level)
            for own in self._adapted(method, side, "wall_s")
        ]

    def _params(self, method: str, side: Side) -> list[Estimate]:
        found = []
        for own in self._adapted(method, side, "trainable_params"):
            value = float(own.trainable_params.mean())
            found.append(Estimate(value, value, value, 0.0, 1.0, 0, len(own)))
        return found

    def _adapted(self, method: str, side: Side, column: str) -> list[pd.DataFrame]:
        """Return what was noted of a method's adaptations, a frame per setting."""
        cells = self.evidence.scope.cells
        mine = cells[(cells.method == method) & (cells.state == "done")]
        mine = mine.drop_duplicates("adapt_key")
        noted = self.evidence.measured.rename(columns={"key": "adapt_key"})
        joined = mine[["task", "protocol", "label_budget", "adapt_key"]].merge(
            noted[["adapt_key", column]].dropna(), on="adapt_key"
        )
        settings = joined.groupby(["task", "protocol", "label_budget"], sort=False)
        return [own for place, own in settings if _meant(side, *map(str, place))]


def _meant(side: Side, task: str, protocol: str, budget: str) -> bool:
    tasks = {item.name for item in side.on if item.name not in METRICS}
    return (
        (not tasks or task in tasks)
        and (not side.protocols or protocol in side.protocols)
        and (not side.at or budget in side.at)
    )
