"""From rows of class predictions to a statistic of every group, resampled."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..metrics.classification import Weights
from ..schema.errors import DataError
from ..schema.style import Choice
from .intervals import Floats, Intervals, Ints
from .predictions import Draws, case_weights, draw, interval
from .scores import Layout
from .weighted import Statistic, youden

# Over cases and seeds, with the correction for few seeds.
TWO_WAY = Choice(test="two-way")


@dataclass(frozen=True)
class Drawn:
    """Draws of each group of a task (place in the layout), with its columns (seeds).

    shared: test cases that all cells have, of all that any cell has. Intervals of a
    group depend on `seed` and the group alone, not on which others are in the table.
    """

    draws: Mapping[int, Draws]
    columns: Mapping[int, Ints]
    shared: tuple[int, int]
    seed: int

    def interval(
        self, group: int, *, level: float, choice: Choice = TWO_WAY
    ) -> Intervals | None:
        """Return the interval of one group, None where the statistic is undefined."""
        return self.interval_of(self.draws[group], level=level, choice=choice)

    def gap(
        self, group: int, other: int, *, level: float, choice: Choice = TWO_WAY
    ) -> Intervals | None:
        """Return the interval of a paired difference, None where it is undefined."""
        _, own, theirs = np.intersect1d(
            self.columns[group], self.columns[other], return_indices=True
        )
        if not len(own):
            return None
        less = self.draws[other].take(theirs).times(-1.0)
        apart = self.draws[group].take(own).plus(less)
        return self.interval_of(apart, level=level, choice=choice)

    def interval_of(
        self, draws: Draws, *, level: float, choice: Choice = TWO_WAY
    ) -> Intervals | None:
        """Return the interval of draws made of this task's, such as a difference."""
        rng = np.random.default_rng([self.seed, 1])
        plain = choice.interval != "components"
        return interval(draws, rng, level=level, over=choice.over, plain=plain)


def draw_groups(
    rows: pd.DataFrame,
    layout: Layout,
    statistic: Statistic,
    *,
    kappa_weights: Mapping[str, Weights],
    thresholds: Mapping[int, float | None] | None = None,
    of_class: int | None = None,
    seed: int = 0,
    draws: int = 2000,
) -> dict[str, Drawn]:
    """Resample the predictions of every group, task by task.

    rows: cell (place in layout.cells), case_id, group_id (patient), y_true, scores (one
    list of equal length per case); kappa_weights: by task; thresholds: by cell, as
    `choose_thresholds` gives them, for F1, sensitivity and specificity; of_class: the
    AUC of this class against the rest. Raises DataError where two cells disagree about
    the truth of a case or share no case.
    """
    chosen = thresholds or {}
    codes, tasks = pd.factorize(layout.cells.task.to_numpy())
    of_row = codes[rows.cell.to_numpy()]
    found = {}
    for code, name in enumerate(tasks):
        mine = rows.iloc[np.flatnonzero(of_row == code)]
        task = str(name)
        if len(mine):
            y, scores, patient, cells, shared = _arrange(mine, task)
            stream = np.random.default_rng([seed, zlib.crc32(task.encode())])
            weights = case_weights(y, patient, stream, draws=draws)
            of_group, columns = {}, {}
            group = layout.cells.group.to_numpy()[cells]
            for one in np.unique(group):
                own = np.flatnonzero(group == one)
                result = draw(
                    statistic, y, scores[own], weights,
                    patients=int(patient.max()) + 1,
                    kappa_weights=kappa_weights.get(task, "unweighted"),
                    thresholds=[chosen.get(int(cell)) for cell in cells[own]],
                    of_class=of_class,
                )  # fmt: skip
                column = layout.cells.column.to_numpy()[cells[own]]
                labels, places = np.unique(column, return_inverse=True)
                of_group[int(one)] = result.by_column(places)
                columns[int(one)] = labels.astype(np.int64)
            found[task] = Drawn(of_group, columns, shared, seed)
    return found


def choose_thresholds(rows: pd.DataFrame) -> dict[int, float | None]:
    """Return each cell's threshold of class 1, from its validation predictions.

    rows: as of `draw_groups`, but of the validation side. The threshold has the largest
    sensitivity plus specificity (Youden, Cancer 3, 1950; METHODS 2.6); None where
    validation has one class only, or where there are more than two classes.
    """
    found: dict[int, float | None] = {}
    for cell, mine in rows.groupby("cell", sort=True):
        scores = np.array(mine.scores.tolist(), dtype=np.float64)
        y = mine.y_true.to_numpy(dtype=np.int64)
        found[int(cell)] = youden(y, scores) if scores.shape[1] == 2 else None
    return found


def _arrange(
    rows: pd.DataFrame, task: str
) -> tuple[Ints, Floats, Ints, Ints, tuple[int, int]]:
    """Truth (n,), scores (cells, n, classes), patients (n,), cells, cases shared."""
    cell, cells = pd.factorize(rows.cell.to_numpy(), sort=True)
    case, cases = pd.factorize(rows.case_id.array, sort=True)
    truth = rows.y_true.to_numpy(dtype=np.int64)
    first = np.unique(case, return_index=True)[1]
    clash = np.flatnonzero(truth != truth[first][case])
    if len(clash):
        msg = (
            f"task {task}: cells disagree about the true class of case "
            f"{cases[case[clash[0]]]}; its labels changed, so run its cells again"
        )
        raise DataError(msg)
    seen = np.zeros((len(cells), len(cases)), dtype=bool)
    seen[cell, case] = True
    common = np.flatnonzero(seen.all(axis=0))
    if not len(common):
        msg = f"task {task}: its cells have no test case in common"
        raise DataError(msg)
    values = np.array(rows.scores.tolist(), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        msg = (
            f"task {task}: a score of case {cases[case[bad[0]]]} is not finite; run its "
            "cells again"
        )
        raise DataError(msg)
    scores = np.zeros((len(cells), len(cases), values.shape[1]))
    scores[cell, case] = values
    patient = pd.factorize(rows.group_id.array[first[common]])[0].astype(np.int64)
    counts = (len(common), len(cases))
    return truth[first[common]], scores[:, common], patient, cells, counts
