"""Sheets of score against cost."""

from __future__ import annotations

from collections.abc import Mapping

from ..analyse.cost import costs
from ..schema.errors import UserError
from . import captions
from .evidence import Evidence
from .questions import Keys, scored_by
from .sheet import Column, Row, Sheet
from .table import DIGITS, LOWER_IS_BETTER, NAMES, Measure

_HOUR = 3600.0


def worth(metric: Measure, evidence: Evidence) -> Sheet:
    """Return what a point of score costs in hours, beyond the baseline.

    Raises UserError where nothing is published or there is no baseline.
    """
    options, layout = evidence.options, evidence.layout(metric)
    spent, unit = _hours(metric, evidence)
    found = costs(
        layout, scored_by(metric, evidence), spent, baseline=options.baseline,
        lower_is_better=metric in LOWER_IS_BETTER,
    )  # fmt: skip
    if not found:
        msg = "no published method and its baseline have hours and a score to compare"
        raise UserError(msg)
    keys = Keys(metric, evidence)
    rows = [
        Row(
            {
                "block": _heading(one.place.task, one.place.protocol, evidence),
                "task": one.place.task, "protocol": one.place.protocol,
                "method": one.place.method, "encoder": one.place.encoder,
                "label_budget": one.label_budget, "other": one.baseline,
                "hours": one.hours, "extra": one.extra, "score": one.score,
                "points": one.points, "per_point": one.per_point,
                "frontier": one.frontier,
            },
            keys.of(one.place, one.label_budget, one.baseline),
            marked=one.frontier,
        )
        for one in found
    ]  # fmt: skip
    columns = (
        Column("block", "block"),
        Column("label_budget", "labels"),
        Column("method", "method"),
        Column("other", "over"),
        Column("hours", unit, digits=2),
        Column("extra", "more than it", digits=2, signed=True),
        Column("score", "score", digits=DIGITS[metric]),
        Column("points", "points gained", digits=2, signed=True),
        Column("per_point", f"{unit} per point", digits=2, missing="-"),
        Column("frontier", "none cheaper is as good"),
        *_hidden("task", "protocol", "encoder"),
    )
    note = (
        f"{unit.capitalize()} of an adaptation with its evaluation, mean per run, and the "
        "whole of the pretraining behind it, however many cells share that; a point is a "
        "hundredth of the score. Marked: no other method here is cheaper and as good."
    )
    title = f"{NAMES[metric]}: what a point costs"
    return _sheet(f"worth-{metric}", title, metric, evidence, columns, rows, note)


def _hours(metric: Measure, evidence: Evidence) -> tuple[Mapping[int, float], str]:
    """Return the hours behind each group: GPU-hours where all nodes have used a GPU."""
    cells = evidence.layout(metric).cells
    noted = evidence.measured.set_index("key")
    behind = ["adapt_key", "evaluate_key"]
    some = noted.reindex(cells.adapt_key.dropna()).gpu_h
    on_gpu = bool(len(some)) and bool((some > 0).all())
    column, unit = ("gpu_h", 1.0) if on_gpu else ("wall_s", _HOUR)
    spent = noted[column] / unit
    run = sum(cells[name].map(spent) for name in behind)
    shared = cells.pretraining_key.map(spent).where(cells.pretraining_key.notna(), 0.0)
    total = (run + shared).groupby(cells.group).mean()
    found = {int(str(group)): float(value) for group, value in total.items()}
    return found, "GPU-hours" if on_gpu else "hours"


def _heading(task: str, protocol: str, evidence: Evidence) -> str:
    return f"{captions.heading(task, evidence.scope.tasks[task])}, {protocol}"


def _hidden(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, name, digits=6, printed=False) for name in names)


def _sheet(
    name: str,
    title: str,
    metric: Measure,
    evidence: Evidence,
    columns: tuple[Column, ...],
    rows: list[Row],
    note: str,
) -> Sheet:
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    notes = (
        f"{NAMES[metric]}, {better} is better. {note}",
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    return Sheet(name, title, columns, tuple(rows), notes, split="block")
