"""What tables and figures of one report share: rows are read once, arranged once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..analyse.blocks import Blocks, blocks_of_cases, blocks_of_runs, complete
from ..analyse.classified import Drawn, choose_thresholds, draw_groups
from ..analyse.compare import Comparison, Pairs, stream
from ..analyse.compare_cases import compare_cases
from ..analyse.compare_runs import compare_runs
from ..analyse.intervals import Intervals, Scores
from ..analyse.resample import Resample, case_intervals
from ..analyse.scores import CaseMetric, Layout, Policy, Stacked, lay_out, policy, stack
from ..analyse.structures import group_rows
from ..analyse.weighted import THRESHOLDED, Statistic
from ..schema.errors import UserError
from ..schema.identity import short
from .analysed import Features
from .options import NothingYet, Options
from .overlap import Marks, marks_of, ranked
from .scope import CELLS, Scope
from .spread import distinct, kappa_weights
from .table import LOWER_IS_BETTER, MEASURES, Measure

if TYPE_CHECKING:
    from .reader import Reader

_NO_CELL = "no cell matches: check the benchmark file and the filter"
Part = str | tuple[str, ...] | None  # a structure, several, or all
_NOTHING = pd.Series(dtype="int64")
CASE_METRICS: tuple[CaseMetric, ...] = ("dice", "hd95")


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
        self._stacked: dict[tuple[str, Part], dict[str, Stacked]] = {}
        self._drawn: dict[tuple[str, int | None], dict[str, Drawn]] = {}
        self._rows: dict[tuple[tuple[str, ...], str], pd.DataFrame] = {}
        self._thresholds: dict[str, dict[int, float | None]] = {}
        self._compared: dict[tuple[str, str], list[Comparison]] = {}
        self._blocks: dict[str, Blocks] = {}
        self._unusable: dict[str, pd.Series] = {}

    def cells(self, metric: str) -> pd.DataFrame:
        """Return the cells whose task has the metric. Raises UserError if none has."""
        cells, tasks = self.scope.cells, self.scope.tasks
        if not len(cells):
            raise UserError(_NO_CELL)
        having = [
            name for name in cells.task.unique() if metric in tasks[name].measures
        ]
        if not having:
            listed = "; ".join(
                f"{name}: {', '.join(tasks[name].measures)}"
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
                raise NothingYet(msg)
            found = self._layouts[metric] = lay_out(cells)
        return found

    def possible(self, name: str) -> bool:
        """Tell whether a table could have rows: a task its metric, the file claims."""
        measures = {m for facts in self.scope.tasks.values() for m in facts.measures}
        metric = name.removeprefix("shift-").partition("-")[0]
        if name == "claims":
            return bool(self.scope.claims)
        return metric not in MEASURES or metric in measures

    def check_any(self) -> None:
        """Raise UserError where no cell at all is in scope, or none is published."""
        cells = self.scope.cells
        if not len(cells):
            raise UserError(_NO_CELL)
        if not (cells.state == "done").any():
            msg = (
                f"nothing to show yet: none of {len(cells)} cells is published; start "
                "them with: harness run"
            )
            raise NothingYet(msg)

    def shown_metrics(self) -> list[Measure]:
        """Return the metrics that tasks list and of which a cell is published."""
        cells, tasks = self.scope.cells, self.scope.tasks
        done = cells[cells.state == "done"].task.unique()
        listed = {metric for name in done for metric in tasks[name].metrics}
        return [metric for metric in MEASURES if metric in listed]

    def policy(self, metric: CaseMetric) -> Policy:
        """Return what undefined values of a metric count as."""
        return policy(metric, self.options.undefined.get(metric))

    def stacked(
        self, metric: CaseMetric, *, structure: Part = None
    ) -> Mapping[str, Stacked]:
        """Return scores of groups x cases x columns, by task.

        structure: of this one instead of the mean over all; of several, the mean in
        which each counts alike (analyse.structures.group_rows).
        """
        found = self._stacked.get((metric, structure))
        if found is None:
            if isinstance(structure, tuple):
                rows = group_rows(self.of_structures(metric, structure), structure)
            else:
                rows = self._of_cases(metric, structure)
            found = self._stacked[metric, structure] = stack(rows, self.layout(metric))
        return found

    def of_structures(self, metric: CaseMetric, names: Sequence[str]) -> pd.DataFrame:
        """Return one row per cell, case and structure."""
        return pd.concat(
            [self._of_cases(metric, name).assign(structure=name) for name in names],
            ignore_index=True,
        )

    def _of_cases(self, metric: CaseMetric, structure: str | None) -> pd.DataFrame:
        keys, spread = distinct(self.layout(metric))
        charge = self.policy(metric).charge
        return spread(
            self.reader.case_scores(
                keys, metric=metric, charge=charge, structure=structure
            )
        )

    def intervals_of_cases(self, scores: Scores, task: str) -> Intervals:
        """Return the intervals of means over a task's cases that the style asks for."""
        options = self.options
        choice = options.chosen.of_cases
        resample = None
        if choice.interval != "components":
            resample = Resample.draw(
                scores.patient, scores.values.shape[2], stream(options.seed, task),
                draws=options.draws, over=choice.over,
            )  # fmt: skip
        return case_intervals(scores, choice, resample, level=options.level)

    def drawn(
        self, metric: Statistic, *, only: int | None = None
    ) -> Mapping[str, Drawn]:
        """Return a statistic of predictions, on all cases and resampled, by task.

        only: of the AUC, the class that is told from the rest.
        """
        found = self._drawn.get((metric, only))
        if found is None:
            layout = self.layout(metric)
            rows = self.predictions(metric, "test")
            if only is not None:
                having = {
                    n for n, f in self.scope.tasks.items() if only < len(f.classes)
                }
                mine = layout.cells.task.isin(having).to_numpy()
                rows = rows[mine[rows.cell.to_numpy()]]
            found = self._drawn[metric, only] = draw_groups(
                rows,
                layout,
                metric,
                kappa_weights=kappa_weights(self.scope),
                thresholds=self.thresholds(metric),
                of_class=only,
                seed=self.options.seed,
                draws=self.options.draws,
            )
        return found

    def thresholds(self, metric: Statistic) -> Mapping[int, float | None]:
        """Return each cell's threshold, from its validation cases; {} if none counts.

        None where validation lacks a class, and for more than two classes.
        """
        if metric not in THRESHOLDED:
            return {}
        found = self._thresholds.get(metric)
        if found is None:
            rows = self.predictions(metric, "val")
            found = self._thresholds[metric] = choose_thresholds(rows)
        return found

    def comparisons(self, metric: Measure, pairs: Pairs) -> list[Comparison]:
        """Return tests of each method against the baseline, or of all pairs.

        Effect sizes come with those against the baseline only. Raises UserError where
        there is no baseline.
        """
        found = self._compared.get((metric, pairs))
        if found is None:
            options, layout = self.options, self.layout(metric)
            if metric == "dice" or metric == "hd95":
                found = compare_cases(
                    self.stacked(metric), layout, baseline=options.baseline,
                    pairs=pairs, choices=options.chosen, alpha=options.alpha,
                    level=options.level, seed=options.seed,
                    effects=pairs == "baseline",
                    lower_is_better=metric in LOWER_IS_BETTER,
                )  # fmt: skip
            else:
                found = compare_runs(
                    self.drawn(metric), layout, baseline=options.baseline, pairs=pairs,
                    choices=options.chosen, alpha=options.alpha, level=options.level,
                    seed=options.seed,
                )  # fmt: skip
            self._compared[metric, pairs] = found
        return found

    def blocks(self, metric: Measure) -> Blocks:
        """Return scores of methods side by side on tasks, for rankings.

        Raises UserError where some are missing and the options do not allow that.
        """
        found = self._blocks.get(metric)
        if found is None:
            options, layout = self.options, self.layout(metric)
            if metric == "dice" or metric == "hd95":
                found = blocks_of_cases(
                    self.stacked(metric), layout, seed=options.seed,
                    draws=options.draws, lower_is_better=metric in LOWER_IS_BETTER,
                )  # fmt: skip
            else:
                found = blocks_of_runs(
                    self.drawn(metric), layout, seed=options.seed, draws=options.draws
                )
            found = self._blocks[metric] = ranked(found, self.marks)
        return complete(found, allow_incomplete=self.options.allow_incomplete)

    @cached_property
    def features(self) -> Features:
        """What analyses of networks measured."""
        return Features(self.scope.analyses, self.reader)

    @cached_property
    def marks(self) -> Marks:
        """What methods had seen of tasks."""
        return marks_of(self.scope.cells)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """What was noted of the published nodes of all cells, one row each."""
        columns = ("evaluate_key", "adapt_key", "pretraining_key")
        keys = pd.concat([self.scope.cells[name] for name in columns]).dropna()
        return self.reader.measured(list(keys.unique()))

    def keys_of_groups(self, metric: Measure) -> dict[int, tuple[str, ...]]:
        """Return the folder names of the evaluations of each group."""
        cells = self.layout(metric).cells
        named = cells.evaluate_key.groupby(cells.group)
        return {int(g): tuple(map(short, dict.fromkeys(some))) for g, some in named}

    def remarks(self, metric: Statistic) -> Mapping[int, str]:
        """Return what has to be said of a group's cells, by the group's place."""
        layout = self.layout(metric)
        groups, cells = layout.groups, layout.cells
        found = {
            int(group): f"left out {count} of {groups.planned[group]} cells: "
            "scores not finite"
            for group, count in self._unusable.get(metric, _NOTHING).items()
        }
        two = {name for name, facts in self.scope.tasks.items() if facts.of_two}
        without = [
            cell
            for cell, value in self.thresholds(metric).items()
            if value is None and cells.task.iat[cell] in two
        ]
        for group, count in cells.group.iloc[without].value_counts().items():
            found[int(str(group))] = (
                f"undefined: {count} of {groups.planned[group]} cells have no threshold, "
                "for their validation cases lack a class"
            )
        return found

    def predictions(self, metric: Statistic, split: str) -> pd.DataFrame:
        """Return the predictions of a side; cells with a score not finite are left out.

        How many of the test side's are left out is kept for the table.
        """
        layout = self.layout(metric)
        keys, spread = distinct(layout)
        rows = self._rows.get((tuple(keys), split))
        if rows is None:
            rows = self.reader.predictions(keys, split=split)
            self._rows[tuple(keys), split] = rows
        rows = spread(rows)
        sound = np.fromiter(
            (np.isfinite(scores).all() for scores in rows.scores), bool, len(rows)
        )
        if sound.all():
            return rows
        bad = np.unique(rows.cell.to_numpy()[~sound])
        if split == "test":
            self._unusable[metric] = layout.cells.group.iloc[bad].value_counts()
        return rows[~rows.cell.isin(bad)]
