"""What tables and figures of one report share: rows are read once, arranged once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..analyse.classified import Drawn, draw_groups
from ..analyse.scores import CaseMetric, Layout, Policy, Stacked, lay_out, policy, stack
from ..analyse.weighted import Statistic
from ..metrics.classification import Weights
from ..schema.errors import UserError
from .scope import CELLS, Scope

if TYPE_CHECKING:
    from .reader import Reader

CASE_METRICS: tuple[CaseMetric, ...] = ("dice", "hd95")


@dataclass(frozen=True)
class Options:
    """What whoever asks for a report may choose.

    level: of intervals; alpha: of tests; seed, draws: of every bootstrap; undefined:
    {metric: policy name}; baseline: the method that others are compared with (none: the
    one without pretraining, of the same encoder); allow_incomplete: rank although cells
    are missing.
    """

    level: float = 0.95
    alpha: float = 0.05
    seed: int = 0
    draws: int = 2000
    undefined: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    allow_incomplete: bool = False


class Evidence:
    """A scope with its rows, read when first asked for and kept.

    A store grows while a run goes on; one Evidence sees it as of one moment.
    """

    def __init__(
        self, scope: Scope, reader: Reader, options: Options | None = None
    ) -> None:
        """Take what a report is about and where its rows come from."""
        lacking = [column for column in CELLS if column not in scope.cells]
        if lacking:
            msg = f"records of cells lack the columns {', '.join(lacking)}"
            raise ValueError(msg)
        self.scope = scope
        self.reader = reader
        self.options = options or Options()
        self._layouts: dict[str, Layout] = {}
        self._stacked: dict[str, dict[str, Stacked]] = {}
        self._drawn: dict[str, dict[str, Drawn]] = {}
        self._unusable: dict[str, pd.Series] = {}

    def cells(self, metric: str) -> pd.DataFrame:
        """Return the cells whose task has the metric. Raises UserError if none has."""
        cells, tasks = self.scope.cells, self.scope.tasks
        if not len(cells):
            msg = "no cell matches: check the benchmark file and the filter"
            raise UserError(msg)
        having = [name for name in cells.task.unique() if metric in tasks[name].metrics]
        if not having:
            listed = "; ".join(
                f"{name}: {', '.join(tasks[name].metrics)}"
                for name in cells.task.unique()
            )
            msg = f"no task here has the metric {metric} ({listed})"
            raise UserError(msg)
        return cells[cells.task.isin(having)]

    def layout(self, metric: str) -> Layout:
        """Return the groups and columns of a metric's cells.

        Raises UserError where no task has the metric or nothing is published.
        """
        found = self._layouts.get(metric)
        if found is None:
            cells = self.cells(metric)
            if not (cells.state == "done").any():
                msg = (
                    f"nothing to show yet: none of {len(cells)} cells with {metric} is "
                    "published; start them with: harness run"
                )
                raise UserError(msg)
            found = self._layouts[metric] = lay_out(cells)
        return found

    def policy(self, metric: CaseMetric) -> Policy:
        """Return what undefined values of a metric count as."""
        return policy(metric, self.options.undefined.get(metric))

    def stacked(self, metric: CaseMetric) -> Mapping[str, Stacked]:
        """Return scores of groups x cases x columns, by task."""
        found = self._stacked.get(metric)
        if found is None:
            layout = self.layout(metric)
            keys, spread = _distinct(layout)
            rows = self.reader.case_scores(
                keys, metric=metric, charge=self.policy(metric).charge
            )
            found = self._stacked[metric] = stack(spread(rows), layout)
        return found

    def drawn(self, metric: Statistic) -> Mapping[str, Drawn]:
        """Return a statistic of predictions, on all cases and resampled, by task."""
        found = self._drawn.get(metric)
        if found is None:
            layout = self.layout(metric)
            keys, spread = _distinct(layout)
            rows = spread(self._finite(self.reader.predictions(keys), metric, layout))
            found = self._drawn[metric] = draw_groups(
                rows,
                layout,
                metric,
                kappa_weights=kappa_weights(self.scope),
                seed=self.options.seed,
                draws=self.options.draws,
            )
        return found

    def unusable(self, metric: str) -> pd.Series:
        """Return how many cells of each group predicted what is no finite number."""
        return self._unusable.get(metric, pd.Series(dtype="int64"))

    def _finite(self, rows: pd.DataFrame, metric: str, layout: Layout) -> pd.DataFrame:
        """Leave out the cells with a score that is not finite, and keep their number."""
        sound = np.fromiter(
            (np.isfinite(scores).all() for scores in rows.scores), bool, len(rows)
        )
        if sound.all():
            return rows
        bad = np.unique(rows.cell.to_numpy()[~sound])
        self._unusable[metric] = layout.cells.group.iloc[bad].value_counts()
        return rows[~rows.cell.isin(bad)]


def _distinct(layout: Layout) -> tuple[list[str], _Spread]:
    """Return the keys of the published cells, each once, and how to undo that.

    Two label budgets that choose the same training cases share their evaluation.
    """
    codes, keys = pd.factorize(layout.cells.evaluate_key)
    return list(keys), _Spread(codes)


@dataclass(frozen=True)
class _Spread:
    """Turns the column `cell` from places of keys to places of cells."""

    codes: np.ndarray

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        if len(np.unique(self.codes)) == len(self.codes):
            return rows  # places of keys are places of cells
        places = pd.DataFrame({"cell": self.codes, "_own": np.arange(len(self.codes))})
        found = rows.merge(places, on="cell")
        return found.assign(cell=found._own).drop(columns="_own")


def kappa_weights(scope: Scope) -> dict[str, Weights]:
    """Return how kappa weighs disagreements: quadratic where classes are ordered."""
    return {
        name: "quadratic" if facts.ordinal else "unweighted"
        for name, facts in scope.tasks.items()
    }
