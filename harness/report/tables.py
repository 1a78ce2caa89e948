"""Build tables from records of cells and a reader of their rows.

    build("dice", cells, reader, tasks) -> Table        then  render(table, "md") -> str

cells: one row per planned cell, in the order of the benchmark file, with the columns
CELLS; `state` is 'done' where evaluate_key is published. In any other state the cell is
missing, and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import pandas as pd

from ..analyse.scores import Policy, lay_out, policy
from ..metrics.classification import Weights
from ..schema.errors import UserError, nearest
from ..schema.task import Metric, TaskSpec
from . import captions
from .estimates import DRAWS, Place, Wanted, of_cases, of_predictions
from .reader import Reader
from .table import LOWER_IS_BETTER, RANGES, Entry, Kind, Table, budget_order

CELLS = (
    "method", "encoder", "task", "protocol", "label_budget", "fold", "seed",
    "subset_seed", "pretraining_seed", "pretraining_key", "evaluate_key", "state",
)  # fmt: skip


def build(
    metric: str,
    cells: pd.DataFrame,
    reader: Reader,
    tasks: Mapping[str, TaskSpec],
    *,
    kind: Kind = "scores",
    policy_name: str | None = None,
    level: float = 0.95,
    available: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Table:
    """Return the table of a metric: means with intervals, or gaps between budgets.

    policy_name: what undefined values count as, for dice and hd95; available: labelled
    cases found, by task, where that is fewer than the task declares; seed: of the
    bootstrap of auc and kappa. Raises UserError where there is nothing to show.
    """
    name, cells = _check(metric, cells, tasks)
    layout = lay_out(cells)
    wanted = Wanted.of(layout, kind)
    if not wanted.places:
        msg = "a gap needs two label budgets of one method, task and protocol"
        raise UserError(msg)
    shared: Mapping[str, tuple[int, int]] = {}
    rule: Policy | None = None
    drawn = ""
    if name == "dice" or name == "hd95":
        rule = policy(name, policy_name)
        found = of_cases(name, wanted, reader, rule=rule, level=level)
    else:
        weights = _kappa_weights(tasks)
        found, shared = of_predictions(
            name, wanted, reader, weights=weights, level=level, seed=seed
        )
        drawn = f"{DRAWS:,} draws, seed {seed}"
    entries = _entries(found, wanted, name, kind)
    notes = captions.general(
        name, kind, layout, entries, level=level, policy=rule, drawn=drawn
    )
    return Table(
        metric=name,
        kind=kind,
        entries=entries,
        level=level,
        notes=notes + captions.of_tier(cells),
        block_notes=_block_notes(entries, tasks, name, available or {}, shared),
        headings={
            task: captions.heading(task, tasks[task]) for task in _tasks(entries)
        },
    )


def _check(
    metric: str, cells: pd.DataFrame, tasks: Mapping[str, TaskSpec]
) -> tuple[Metric, pd.DataFrame]:
    """Return the metric and the cells that have it, or say why there are none."""
    known = get_args(Metric)
    if metric not in known:
        msg = (
            f"no table {metric!r}: expected one of {', '.join(known)}."
            f"{nearest(metric, known)}"
        )
        raise UserError(msg)
    name: Metric = known[known.index(metric)]
    lacking = [column for column in CELLS if column not in cells]
    if lacking:
        msg = f"records of cells lack the columns {', '.join(lacking)}"
        raise ValueError(msg)
    if not len(cells):
        msg = "no cell matches: check the benchmark file and the filter"
        raise UserError(msg)
    having = [task for task in cells.task.unique() if name in tasks[task].metrics]
    if not having:
        listed = "; ".join(
            f"{task}: {', '.join(tasks[task].metrics)}" for task in cells.task.unique()
        )
        msg = f"no task here has the metric {name} ({listed})"
        raise UserError(msg)
    cells = cells[cells.task.isin(having)]
    if not (cells.state == "done").any():
        msg = (
            f"nothing to show yet: none of {len(cells)} cells with {name} is "
            "published; start them with: harness run"
        )
        raise UserError(msg)
    return name, cells


def _kappa_weights(tasks: Mapping[str, TaskSpec]) -> dict[str, Weights]:
    return {
        name: "quadratic" if spec.target is not None and spec.target.ordinal
        else "unweighted"
        for name, spec in tasks.items()
    }  # fmt: skip


def _entries(
    found: Mapping[Place, Entry], wanted: Wanted, metric: Metric, kind: Kind
) -> tuple[Entry, ...]:
    """Order and clip entries, fill in the missing ones, and mark the best."""
    entries = [found.get(place) or wanted.blank(place) for place in wanted.places]
    low, high = RANGES[metric]
    if kind == "gap":
        low, high = low - high, high - low
    entries = [
        e if e.low is None or e.high is None
        else replace(e, low=max(e.low, low), high=min(e.high, high))
        for e in entries
    ]  # fmt: skip
    tasks = {task: place for place, task in enumerate(_tasks(entries))}
    entries.sort(key=lambda e: (tasks[e.task], budget_order(e.budget.split(" - ")[-1])))
    return tuple(_marked(entries, metric) if kind == "scores" else entries)


def _marked(entries: list[Entry], metric: Metric) -> list[Entry]:
    """Mark the best of each complete column, if its interval is shown."""
    columns: dict[tuple[str, str, str], list[int]] = {}
    for place, e in enumerate(entries):
        columns.setdefault((e.task, e.protocol, e.budget), []).append(place)
    marked = list(entries)
    for some in columns.values():
        if len(some) < 2 or any(entries[i].missing for i in some):
            continue
        means = [(entries[i].mean, i) for i in some]
        known = [(mean, i) for mean, i in means if mean is not None]
        if len(known) < len(some):
            continue
        pick = min if metric in LOWER_IS_BETTER else max
        top = pick(mean for mean, _ in known)
        for mean, i in known:
            if mean == top and entries[i].low is not None:
                marked[i] = replace(entries[i], best=True)
    return marked


def _tasks(entries: Iterable[Entry]) -> list[str]:
    return list(dict.fromkeys(entry.task for entry in entries))


def _block_notes(
    entries: Sequence[Entry],
    tasks: Mapping[str, TaskSpec],
    metric: Metric,
    available: Mapping[str, int],
    shared: Mapping[str, tuple[int, int]],
) -> dict[tuple[str, str], tuple[str, ...]]:
    blocks: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        blocks.setdefault((entry.task, entry.protocol), []).append(entry)
    return {
        (task, protocol): captions.of_block(
            task, tasks[task], some,
            metric=metric, available=available, shared=shared,
        )
        for (task, protocol), some in blocks.items()
    }  # fmt: skip
