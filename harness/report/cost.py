"""What the results cost, and how many parameters were trained."""

from __future__ import annotations

import pandas as pd

from ..schema.errors import UserError
from ..schema.identity import short
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value

_HOURS = 3600
_PHASES = ("pretrain", "adapt", "evaluate")
_WHO = (Column("method", "method"), Column("encoder", "encoder"))
_MEMORY = Column("peak_mem_gb", "peak memory (GB)", digits=1)
_GPU_MEMORY = Column("peak_gpu_mem_gb", "peak GPU memory (GB)", digits=1)
_PUBLISHED_ONLY = (
    "Hours are wall time of the attempts that were published; what failed or was lost is "
    "not in them. GPU-hours are 0 where the work ran without a GPU, and empty where none "
    "were noted."
)


def _nodes(evidence: Evidence) -> pd.DataFrame:
    """Return one row per published node of the cells in scope, with its cell's labels.

    Columns: phase, key, method, encoder, task, protocol (task and protocol are empty
    for a pretraining, which many cells share), and what was measured. Raises UserError
    where nothing is published.
    """
    evidence.check_any()
    cells = evidence.scope.cells
    frames = []
    for phase, column in zip(
        _PHASES, ("pretraining_key", "adapt_key", "evaluate_key"), strict=True
    ):
        own = cells[cells[column].notna()]
        labels = ["method", "encoder"]
        if phase != "pretrain":
            labels += ["task", "protocol", "label_budget"]
        rows = own[[*labels, column]].rename(columns={column: "key"})
        frames.append(rows.drop_duplicates(["key", "method"]).assign(phase=phase))
    # Every cell has an evaluation: with these first, methods keep the order of the cells.
    wanted = pd.concat(frames[::-1], ignore_index=True)
    return wanted.merge(evidence.measured, on="key", how="inner")


def cost(evidence: Evidence) -> Sheet:
    """Return hours and memory by method, each pretraining counted once."""
    nodes = _nodes(evidence)
    rows = []
    for (method, encoder), own in nodes.groupby(["method", "encoder"], sort=False):
        values: dict[str, Value] = {"method": str(method), "encoder": str(encoder)}
        for phase in _PHASES:
            some = own[own.phase == phase]
            values[f"{phase}_nodes"] = len(some)
            values[f"{phase}_h"] = _sum(some.wall_s, _HOURS)
            values[f"{phase}_gpu_h"] = _sum(some.gpu_h)
        values["total_h"] = _sum(own.wall_s, _HOURS)
        values["total_gpu_h"] = _sum(own.gpu_h)
        values |= _peaks(own)
        rows.append(Row(values, _evaluations(own)))
    columns = [*_WHO]
    for phase, head in zip(
        _PHASES, ("pretraining", "adaptation", "evaluation"), strict=True
    ):
        columns += [
            Column(f"{phase}_nodes", f"{head}s"),
            Column(f"{phase}_h", "h", digits=2),
            Column(f"{phase}_gpu_h", "GPU-h", digits=2),
        ]
    columns += [Column("total_h", "total h", digits=2)]
    columns += [Column("total_gpu_h", "total GPU-h", digits=2), _MEMORY, _GPU_MEMORY]
    notes = (
        _PUBLISHED_ONLY,
        "A pretraining is counted once, however many cells start from it; methods that "
        "share one each show it.",
        *evidence.scope.notes,
    )
    return Sheet("cost", "Cost by method", tuple(columns), tuple(rows), notes)


def cost_by_task(evidence: Evidence) -> Sheet:
    """Return hours of adaptations and evaluations by task, protocol and method."""
    nodes = _nodes(evidence)
    nodes = nodes[nodes.phase != "pretrain"]
    rows = []
    by = ["task", "protocol", "method", "encoder"]
    for names, own in nodes.groupby(by, sort=False):
        adapt, evaluate = own[own.phase == "adapt"], own[own.phase == "evaluate"]
        values: dict[str, Value] = dict(zip(by, map(str, names), strict=True))
        values |= {
            "cells": len(evaluate),
            "adapt_min": _median(adapt.wall_s, 60),
            "evaluate_min": _median(evaluate.wall_s, 60),
            "total_h": _sum(own.wall_s, _HOURS),
            "total_gpu_h": _sum(own.gpu_h),
            **_peaks(own),
        }
        rows.append(Row(values, _evaluations(own)))
    columns = (
        Column("task", "task"),
        Column("protocol", "protocol"),
        *_WHO,
        Column("cells", "cells"),
        Column("adapt_min", "adaptation (min, median)", digits=1),
        Column("evaluate_min", "evaluation (min, median)", digits=1),
        Column("total_h", "total h", digits=2),
        Column("total_gpu_h", "total GPU-h", digits=2),
        _MEMORY,
        _GPU_MEMORY,
    )
    return Sheet(
        "cost-by-task",
        "Cost by task",
        columns,
        tuple(rows),
        (_PUBLISHED_ONLY, *evidence.scope.notes),
        split="task",
    )


def parameters(evidence: Evidence) -> Sheet:
    """Return how many parameters an adaptation trains, on how many cases."""
    nodes = _nodes(evidence)
    nodes = nodes[nodes.phase == "adapt"]
    rows = []
    by = ["task", "protocol", "method", "encoder"]
    for names, own in nodes.groupby(by, sort=False):
        values: dict[str, Value] = dict(zip(by, map(str, names), strict=True))
        values["trainable_params"] = _range(own.trainable_params)
        values["n_train"] = _range(own.n_train)
        rows.append(Row(values, tuple(map(short, own.key))))
    if not any(row.values["trainable_params"] for row in rows):
        msg = "no published adaptation says how many parameters it trained"
        raise UserError(msg)
    columns = (
        Column("task", "task"),
        Column("protocol", "protocol"),
        *_WHO,
        Column("trainable_params", "trainable parameters"),
        Column("n_train", "training cases"),
    )
    notes = (
        "Only parameters that the adaptation changes count (requires_grad); a range is "
        "over label budgets, folds and seeds.",
        *evidence.scope.notes,
    )
    return Sheet(
        "params", "Trainable parameters", columns, tuple(rows), notes, split="task"
    )


def _sum(values: pd.Series, unit: float = 1) -> float | None:
    known = values.dropna()
    return float(known.sum()) / unit if len(known) else None


def _median(values: pd.Series, unit: float) -> float | None:
    known = values.dropna()
    return float(known.median()) / unit if len(known) else None


def _peaks(nodes: pd.DataFrame) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in ("peak_mem", "peak_gpu_mem"):
        known = nodes[name].dropna()
        found[f"{name}_gb"] = float(known.max()) / 1e9 if len(known) else None
    return found


def _range(values: pd.Series) -> Value:
    known = values.dropna().astype("int64")
    if not len(known):
        return None
    low, high = int(known.min()), int(known.max())
    return low if low == high else f"{low:,} to {high:,}"


def _evaluations(nodes: pd.DataFrame) -> tuple[str, ...]:
    return tuple(map(short, nodes.key[nodes.phase == "evaluate"]))
