"""Which tables there are, and how each is built from the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ..schema.errors import UserError, nearest
from .cost import cost, cost_by_task, parameters
from .evidence import Evidence
from .sheet import Sheet
from .table import MEASURES, Kind, Table
from .tables import auc_per_class, build

Shown = Table | Sheet
Builder = Callable[[Evidence], Iterator[tuple[str, Shown]]]


@dataclass(frozen=True)
class NotShown:
    """A table that a report leaves out, and why."""

    name: str
    reason: str


def _means(metric: str) -> Builder:
    def built(evidence: Evidence) -> Iterator[tuple[str, Shown]]:
        yield metric, build(metric, evidence)

    return built


def _of_every_metric(prefix: str, kind: Kind) -> Builder:
    """Yield a table for each metric that a task lists and something is published of."""

    def built(evidence: Evidence) -> Iterator[tuple[str, Shown]]:
        for metric in evidence.shown_metrics():
            yield f"{prefix}-{metric}", build(metric, evidence, kind=kind)

    return built


def _one(name: str, builder: Callable[[Evidence], Shown]) -> Builder:
    def built(evidence: Evidence) -> Iterator[tuple[str, Shown]]:
        yield name, builder(evidence)

    return built


# In the order in which a report shows them.
_BUILDERS: Mapping[str, Builder] = {
    **{metric: _means(metric) for metric in MEASURES},
    "auc-per-class": _one("auc-per-class", auc_per_class),
    "gap": _of_every_metric("gap", "gap"),
    "cost": _one("cost", cost),
    "cost-by-task": _one("cost-by-task", cost_by_task),
    "params": _one("params", parameters),
}
TABLES: tuple[str, ...] = tuple(_BUILDERS)


def tables(
    evidence: Evidence, name: str | None = None
) -> Iterator[tuple[str, Shown | NotShown]]:
    """Yield (file stem, table) of the table `name`, or of all that there is rows for.

    Without a name, a table of which nothing is published yet comes as a NotShown; what
    no task could have is passed over. Raises UserError for an unknown name, and where
    the table asked for, or every one, is empty.
    """
    if name is not None:
        if name not in _BUILDERS:
            msg = (
                f"no table {name!r}: expected one of {', '.join(TABLES)}."
                f"{nearest(name, TABLES)}"
            )
            raise UserError(msg)
        yield from _BUILDERS[name](evidence)
        return
    evidence.check_any()
    for each in TABLES:
        if not evidence.possible(each.partition("-")[0]):
            continue
        try:
            yield from _BUILDERS[each](evidence)
        except UserError as error:
            yield each, NotShown(each, str(error))
