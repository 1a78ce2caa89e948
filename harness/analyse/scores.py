"""From rows of cases to matrices, and what undefined scores count as.

A row of case scores is one case under one cell: the mean over structures that count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from ..schema.errors import UserError, nearest
from ..schema.scores import Reason
from .intervals import Floats, Ints, Scores

CaseMetric = Literal["dice", "hd95"]
Charge = float | Literal["diagonal"] | None

# Columns that make a group: one number of a table.
GROUP = ["method", "encoder", "task", "protocol", "label_budget"]


@dataclass(frozen=True)
class Policy:
    """What a structure that has no ordinary value counts as. None: it is left out."""

    name: str
    charge: Mapping[Reason, Charge]
    sentence: str


_LEFT_OUT: dict[Reason, Charge] = {"both_empty": None, "failed": None}
_DICE_ZERO: dict[Reason, Charge] = {"pred_empty": 0.0, "gt_empty": 0.0}
_EXCLUDED: dict[Reason, Charge] = {"pred_empty": None, "gt_empty": None}
_DIAGONAL: dict[Reason, Charge] = {"pred_empty": "diagonal", "gt_empty": "diagonal"}

# The first of each is the default (DESIGN 7).
POLICIES: dict[CaseMetric, tuple[Policy, ...]] = {
    "dice": (
        Policy(
            "exclude",
            _DICE_ZERO | _LEFT_OUT,
            "A missed structure and a false alarm count 0; a structure absent from "
            "both truth and prediction is left out.",
        ),
        Policy(
            "one",
            _DICE_ZERO | {"both_empty": 1.0, "failed": None},
            "A missed structure and a false alarm count 0; a structure absent from "
            "both truth and prediction counts 1.",
        ),
    ),
    "hd95": (
        Policy(
            "diagonal",
            _DIAGONAL | _LEFT_OUT,
            "A missed structure and a false alarm count the image's diagonal; a "
            "structure absent from both truth and prediction is left out.",
        ),
        Policy(
            "exclude",
            _EXCLUDED | _LEFT_OUT,
            "Missed structures, false alarms and structures absent from both truth and "
            "prediction are left out, which favours methods that miss.",
        ),
    ),
}


def policy(metric: CaseMetric, name: str | None = None) -> Policy:
    """Return a policy by name, the default without one. Raises UserError."""
    known = POLICIES[metric]
    for candidate in known:
        if name in (None, candidate.name):
            return candidate
    names = [candidate.name for candidate in known]
    msg = (
        f"{name!r} is not a policy for undefined {metric} values: expected one of "
        f"{', '.join(names)}.{nearest(str(name), names)}"
    )
    raise UserError(msg)


@dataclass(frozen=True)
class Layout:
    """Where each cell stands: its group and its column (seed) in the group.

    groups: one row per group with the columns GROUP, `planned` and `done` (numbers of
    cells), `pretrained` (whether any has a pretraining), `seeds` (columns that are
    done), `folds`, `pretrainings` (distinct, done), `subsets` (draws of labelled
    cases); cells: those done, with `group`, `column`.
    """

    groups: pd.DataFrame
    cells: pd.DataFrame = field(repr=False)


def is_pretrained(cells: pd.DataFrame) -> pd.Series:
    """Tell of each cell whether anything in it was trained before.

    A fusion has several pretrainings and no key of one, but their seed; an imported
    encoder has a key and no seed.
    """
    return cells.pretraining_key.notna() | cells.pretraining_seed.notna()


def lay_out(cells: pd.DataFrame) -> Layout:
    """Sort cells into groups and columns.

    A column is an independent repetition: a seed. Where a group has several
    pretrainings a column is a pretraining, and the adaptation seeds below it are
    averaged, since they share it. Folds are averaged within a column: they are not
    independent of each other.
    """
    cells = cells.reset_index(drop=True)
    codes = cells.groupby(GROUP, sort=False, dropna=False).ngroup().to_numpy()
    pretrained = is_pretrained(cells)
    shared = pretrained & (
        cells.pretraining_seed.groupby(codes).transform("nunique") > 1
    )
    unit = cells.pretraining_seed.where(shared, cells.seed)
    done = (cells.state == "done").to_numpy()
    cells = cells.assign(group=codes, column=unit.astype("int64"))
    by_group = cells.groupby("group", sort=True)
    groups = by_group[GROUP].first()
    groups["planned"] = by_group.size()
    groups["pretrained"] = pretrained.groupby(cells.group).any()
    published = cells[done].groupby("group")
    for name, column in [
        ("seeds", "column"), ("folds", "fold"), ("pretrainings", "pretraining_key"),
        ("subsets", "subset_seed"),
    ]:  # fmt: skip
        counted = published[column].nunique()
        groups[name] = counted.reindex(groups.index, fill_value=0)
    groups["done"] = published.size().reindex(groups.index, fill_value=0)
    return Layout(groups, cells[done].reset_index(drop=True))


@dataclass(frozen=True)
class Stacked:
    """Matrices of the groups of one task: `groups` are their places in the layout.

    misses, false_alarms, failed: counts (G,) over cases, structures, seeds and folds.
    case_ids: names of the cases of the matrices.
    """

    scores: Scores
    groups: Ints
    misses: Ints
    false_alarms: Ints
    failed: Ints
    case_ids: tuple[str, ...]


def stack(rows: pd.DataFrame, layout: Layout) -> dict[str, Stacked]:
    """Arrange rows of case scores by task: groups x cases x columns.

    rows: cell (place in layout.cells), case_id, group_id (patient), score (null where
    no structure counts; one that is not finite counts as null), misses, false_alarms,
    failed. Rows of one group, case and
    column (folds, or seeds below one pretraining) are averaged.
    """
    cell = rows.cell.to_numpy()
    tasks, names = pd.factorize(layout.cells.task.to_numpy())
    # Text is encoded once for all tasks; what follows handles integers only.
    case, case_names = pd.factorize(rows.case_id.array, sort=True)
    patient = pd.factorize(rows.group_id.array)[0]
    score = rows.score.to_numpy(dtype=np.float64, na_value=np.nan)
    counts = [rows[name].to_numpy() for name in ("misses", "false_alarms", "failed")]
    of_row = tasks[cell]
    order = np.argsort(of_row, kind="stable")
    ends = np.searchsorted(of_row[order], np.arange(len(names) + 1))
    found = {}
    for number, name in enumerate(names):
        mine = order[ends[number] : ends[number + 1]]
        if len(mine):
            arrays = [a[mine] for a in (cell, case, patient, score, *counts)]
            found[str(name)] = _stack_task(layout, case_names, *arrays)
    return found


def _stack_task(
    layout: Layout,
    case_names: pd.Index,
    cell: Ints,
    case: Ints,
    patient: Ints,
    score: Floats,
    *counts: Ints,
) -> Stacked:
    """Arrange the rows of one task, given column by column."""
    own_groups = layout.cells.group.to_numpy()[cell]
    groups, group = np.unique(own_groups, return_inverse=True)
    own_columns = layout.cells.column.to_numpy()[cell]
    columns, column = np.unique(own_columns, return_inverse=True)
    cases, first, place = np.unique(case, return_index=True, return_inverse=True)
    patients = np.unique(patient[first], return_inverse=True)[1]
    shape = (len(groups), len(cases), len(columns))
    at = np.ravel_multi_index((group, place, column), shape)
    known = np.isfinite(score)
    size = int(np.prod(shape))
    count = np.bincount(at[known], minlength=size)
    total = np.bincount(at[known], weights=score[known], minlength=size)
    values: Floats = (total / np.maximum(count, 1)).reshape(shape)
    misses, false_alarms, failed = (
        np.bincount(group, weights=some, minlength=len(groups)).astype(np.int64)
        for some in counts
    )
    return Stacked(
        Scores(values, (count > 0).reshape(shape), patients.astype(np.int64)),
        groups.astype(np.int64),
        misses,
        false_alarms,
        failed,
        tuple(str(name) for name in case_names[cases]),
    )
