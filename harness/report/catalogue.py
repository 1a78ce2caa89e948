"""Which tables there are, and how each is built from the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from ..schema.errors import UserError, nearest
from ..schema.task import Metric
from .evidence import Evidence
from .table import Kind, Table
from .tables import build

GAP = "gap"
TABLES: tuple[str, ...] = (*get_args(Metric), GAP)


def tables(evidence: Evidence, name: str | None = None) -> Iterator[tuple[str, Table]]:
    """Yield (file stem, table) of the table `name`, or of every metric in scope.

    Raises UserError where nothing is published yet or the table does not exist.
    """
    metrics, kind = _wanted(name, set(evidence.scope.metrics))
    for metric in metrics:
        table = build(metric, evidence, kind=kind)
        yield (metric if kind == "scores" else f"{kind}-{metric}"), table


def _wanted(name: str | None, offered: set[str]) -> tuple[list[str], Kind]:
    if name is not None and name not in TABLES:
        msg = (
            f"no table {name!r}: expected one of {', '.join(TABLES)}."
            f"{nearest(name, TABLES)}"
        )
        raise UserError(msg)
    if name in get_args(Metric):
        return [str(name)], "scores"
    ordered = [metric for metric in get_args(Metric) if metric in offered]
    return ordered, "gap" if name == GAP else "scores"
