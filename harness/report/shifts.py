"""The sheet of shifts: one structure on two tasks, such as the liver in CT and in MRI."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ..analyse.scores import CaseMetric
from ..analyse.structures import shifts, stack_structures
from ..schema.errors import UserError
from . import captions
from .evidence import Evidence
from .scope import TaskFacts
from .sheet import Column, Row, Sheet
from .table import DIGITS, LOWER_IS_BETTER, NAMES

_WHO = ("structure", "method", "label_budget")


def shift(metric: CaseMetric, evidence: Evidence) -> Sheet:
    """Return how structures fare on a task beside another one (METHODS 4.8).

    Tasks of two modalities are compared where there are any, else all that share a
    structure. Raises UserError where none do, or nothing is published.
    """
    layout, facts = evidence.layout(metric), evidence.scope.tasks
    tasks = list(dict.fromkeys(layout.cells.task))
    pairs = list(_pairs({task: facts[task] for task in tasks}))
    if not pairs:
        msg = f"no two tasks with {metric} have a structure of the same name"
        raise UserError(msg)
    names = dict.fromkeys(n for _, _, shared in pairs for n in shared)
    rows_of = stack_structures(evidence.of_structures(metric, list(names)), layout)
    keys = evidence.keys_of_groups(metric)
    groups = layout.groups
    rows = []
    for one, other, _ in pairs:
        for found in shifts(rows_of, layout, one, other, level=evidence.options.level):
            mine = groups[
                (groups.method == found.method)
                & (groups.protocol == found.protocol)
                & (groups.label_budget == found.label_budget)
                & groups.task.isin([one, other])
            ]
            values = {
                name: getattr(found, name) for name in (*_WHO, "protocol", "encoder")
            }
            values |= {
                "block": f"{one} minus {other}, {found.protocol}",
                "task": one, "other_task": other,
                "difference": found.difference.value, "low": found.difference.low,
                "high": found.difference.high, "p": found.p, "adjusted": found.adjusted,
                "cases": found.difference.cases,
            }  # fmt: skip
            behind = tuple(
                key for group in mine.index for key in keys.get(int(group), ())
            )
            rows.append(Row(values, behind))
    if not rows:
        msg = "no method is published on two tasks that share a structure"
        raise UserError(msg)
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    notes = (
        f"{NAMES[metric]}, {better} is better. A structure's mean on the first task minus "
        "that on the second; the patients differ, so their variances add up. p: "
        "Mann-Whitney over patients' means over seeds; Holm over all rows of two tasks.",
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    title = f"{NAMES[metric]}: the same structure on two tasks"
    columns = _columns(metric, evidence.options.level)
    return Sheet(f"shift-{metric}", title, columns, tuple(rows), notes, split="block")


Pair = tuple[str, str, tuple[str, ...]]


def _pairs(tasks: dict[str, TaskFacts]) -> Iterator[Pair]:
    """Yield two tasks and the structures they share; two modalities where there are."""
    every = [
        (one, other, shared)
        for one, other in combinations(tasks, 2)
        if (shared := tuple(
            n for n in tasks[one].structures if n in tasks[other].structures
        ))
    ]  # fmt: skip
    across = [
        pair for pair in every if tasks[pair[0]].modality != tasks[pair[1]].modality
    ]
    yield from across or every


def _columns(metric: CaseMetric, level: float) -> tuple[Column, ...]:
    return (
        Column("block", "block"),
        *(Column(n, n.replace("label_budget", "labels")) for n in _WHO),
        Column(
            "difference", f"difference [{level:.0%} interval]", digits=DIGITS[metric],
            signed=True, bounds=("low", "high"),
        ),
        Column("p", "p", small=0.001),
        Column("adjusted", "p, Holm", small=0.001),
        Column("cases", "cases"),
        *(
            Column(n, n, digits=6, printed=False)
            for n in ("task", "other_task", "protocol", "encoder", "low", "high")
        ),
    )  # fmt: skip
