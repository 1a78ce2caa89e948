"""Build tables of means, and of differences between label budgets.

    build("dice", evidence) -> Table        then  render(table, "md") -> str

A cell that is not published is missing, and the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from ..schema.errors import UserError, nearest
from ..schema.task import Metric
from . import captions
from .estimates import Found, Wanted, of_cases, of_predictions
from .evidence import Evidence
from .table import LOWER_IS_BETTER, RANGES, Entry, Kind, Table, budget_order


def build(metric: str, evidence: Evidence, *, kind: Kind = "scores") -> Table:
    """Return the table of a metric: means with intervals, or gaps between budgets.

    Raises UserError where there is nothing to show.
    """
    name = _known(metric)
    layout = evidence.layout(name)
    wanted = Wanted.of(layout, kind)
    if not wanted.places:
        msg = "a gap needs two label budgets of one method, task and protocol"
        raise UserError(msg)
    shared: Mapping[str, tuple[int, int]] = {}
    options, scope = evidence.options, evidence.scope
    if name == "dice" or name == "hd95":
        rule = evidence.policy(name)
        drawn = ""
        found = of_cases(name, wanted, evidence)
    else:
        rule = None
        drawn = f"{options.draws:,} draws, seed {options.seed}"
        found = of_predictions(name, wanted, evidence)
        shared = {task: one.shared for task, one in evidence.drawn(name).items()}
    entries = _entries(found, wanted, name, kind)
    notes = captions.general(
        name, kind, layout, entries, level=options.level, policy=rule, drawn=drawn
    )
    return Table(
        metric=name,
        kind=kind,
        entries=entries,
        level=options.level,
        notes=(*notes, *captions.of_tier(scope.cells), *scope.notes),
        block_notes=_block_notes(entries, evidence, name, shared),
        headings={
            task: captions.heading(task, scope.tasks[task]) for task in _tasks(entries)
        },
    )


def _known(metric: str) -> Metric:
    known = get_args(Metric)
    if metric not in known:
        msg = (
            f"no table {metric!r}: expected one of {', '.join(known)}."
            f"{nearest(metric, known)}"
        )
        raise UserError(msg)
    found: Metric = known[known.index(metric)]
    return found


def _entries(
    found: Found, wanted: Wanted, metric: Metric, kind: Kind
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
    evidence: Evidence,
    metric: Metric,
    shared: Mapping[str, tuple[int, int]],
) -> dict[tuple[str, str], tuple[str, ...]]:
    blocks: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        blocks.setdefault((entry.task, entry.protocol), []).append(entry)
    scope = evidence.scope
    return {
        (task, protocol): captions.of_block(
            task, scope.tasks[task], some,
            metric=metric, available=scope.available, shared=shared,
        )
        for (task, protocol), some in blocks.items()
    }  # fmt: skip
