"""What claims say beside scores, as far as a report has measured it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pandas as pd

from ..analyse.estimate import Estimate, over_runs, weighted_sum
from ..schema.claims import METRICS, Side
from ..schema.errors import UserError
from .alignment import aligned
from .attention import ENTROPY, attended
from .consistency import consistencies
from .convergence import converged
from .evidence import Evidence

_HOUR = 3600.0


class Measures:
    """Answers quantities beside scores, such as `steps(a)`; others are unknown.

    Each is the mean over the tasks, protocols and label budgets that a side speaks of,
    all alike, as for scores. steps: the restricted mean of `analyse.convergence`. hours:
    wall time of an adaptation, mean over runs with Student's interval. params: those
    that an adaptation trains, exact. consistency: of feature reuse, over label budgets
    below the largest. entropy: of attention before fine-tuning, all stages alike or the
    one in brackets. intra, inter: distances of the protocol `cluster` in UMAP's plane.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.level = evidence.options.level
        self.known: Mapping[str, Callable[[str, Side], list[Estimate]]] = {
            "steps": self._steps, "hours": self._hours, "params": self._params,
            "consistency": self._consistency, "entropy": self._entropy,
            "intra": partial(self._distance, "intra-class distance"),
            "inter": partial(self._distance, "inter-class distance"),
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

    def _consistency(self, method: str, side: Side) -> list[Estimate]:
        try:
            found = consistencies(aligned(self.evidence, "reuse"))
        except UserError:
            return []
        return [
            one.estimate for one in found
            if one.few.method == method
            and _meant(side, one.few.task, one.few.protocol, one.few.label_budget)
        ]  # fmt: skip

    def _entropy(self, method: str, side: Side) -> list[Estimate]:
        """Return one estimate per task and stage; no label has touched it."""
        try:
            found = attended(self.evidence)
        except UserError:
            return []
        stages = [
            one.estimate(ENTROPY, level=self.level) for one in found
            if one.method == method and one.state == "before"
            and side.part in (None, one.stage)
            and _meant(replace(side, at=()), one.task, one.protocol, "")
        ]  # fmt: skip
        return [one for one in stages if one is not None]

    def _distance(self, quantity: str, method: str, side: Side) -> list[Estimate]:
        """Return one estimate per task, from UMAP's planes (METHODS 2.10).

        Over pretrainings, or where there is one, over the planes that were drawn.
        """
        cells = self.evidence.scope.cells
        mine = cells[(cells.method == method) & (cells.state == "done")]
        mine = mine.drop_duplicates("adapt_key").reset_index(drop=True)
        rows = self.evidence.reader.features(list(mine.adapt_key))
        planes = rows.layer.str.startswith("umap") & (rows.quantity == quantity)
        rows = rows[planes].dropna(subset="value")
        own = mine.iloc[rows.cell.to_numpy(int)].reset_index(drop=True)
        own = own.assign(value=rows.value.to_numpy(), plane=rows.layer.to_numpy())
        found = []
        for (task, protocol), some in own.groupby(["task", "protocol"], sort=False):
            if not _meant(replace(side, at=()), str(task), str(protocol), ""):
                continue
            run = some.pretraining_seed.where(some.pretraining_seed.notna(), some.seed)
            over = "plane" if run.nunique() == 1 else run
            values = some.groupby(over).value.mean()
            found.append(over_runs(values.to_numpy(), level=self.level))
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
