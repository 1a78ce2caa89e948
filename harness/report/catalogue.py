"""Which tables there are, and how each is built from the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ..analyse.structures import organ_groups
from ..schema.errors import UserError, nearest
from .claims import claims
from .comparisons import against_baseline, all_pairs
from .convergence import sheet as convergence
from .cost import cost, cost_by_task, parameters
from .evidence import CASE_METRICS, Evidence
from .intervals import intervals
from .optimism import sheet as optimism
from .overlap import marked
from .questions import efficiency, gain, gap_percent
from .rankings import ranks
from .represent import view_tables
from .scaling import model_size, possible, trend
from .sheet import Sheet
from .shifts import shift
from .table import MEASURES, Measure, Table
from .tables import auc_per_class, build, gap, per_organ_group, per_structure
from .worth import worth

Shown = Table | Sheet


@dataclass(frozen=True)
class NotShown:
    """A table that a report leaves out, and why."""

    name: str
    reason: str


# One table whatever the metrics are.
_SINGLE: Mapping[str, Callable[[Evidence], Shown]] = {
    **{metric: partial(build, metric) for metric in MEASURES},
    "dice-per-structure": partial(per_structure, "dice"),
    "hd95-per-structure": partial(per_structure, "hd95"),
    "dice-per-organ-group": partial(per_organ_group, "dice"),
    "hd95-per-organ-group": partial(per_organ_group, "hd95"),
    "shift-dice": partial(shift, "dice"),
    "shift-hd95": partial(shift, "hd95"),
    "auc-per-class": auc_per_class,
    "convergence": convergence,
    "claims": claims,
    "cost": cost,
    "cost-by-task": cost_by_task,
    "params": parameters,
}
# A table for each metric that a task lists and something is published of.
_BY_METRIC: Mapping[str, Callable[[Measure, Evidence], Shown]] = {
    "gap": gap,
    "rank": ranks,
    "tests": against_baseline,
    "comparison": all_pairs,
    "intervals": intervals,
    "gain": gain,
    "gap-percent": gap_percent,
    "efficiency": efficiency,
    "trend": trend,
    "model-size": model_size,
    "worth": worth,
    "val-test": optimism,
}
_OF_PREDICTIONS = "val-test"  # of classifications alone
# What analyses of networks measured.
_VIEWS = view_tables()
# In the order in which a report shows them.
TABLES: tuple[str, ...] = (
    *MEASURES, "dice-per-structure", "hd95-per-structure", "dice-per-organ-group",
    "hd95-per-organ-group", "auc-per-class", *_BY_METRIC, "shift-dice", "shift-hd95",
    "convergence", *_VIEWS, "claims", "cost", "cost-by-task", "params",
)  # fmt: skip


def tables(
    evidence: Evidence, name: str | None = None
) -> Iterator[tuple[str, Shown | NotShown]]:
    """Yield (file stem, table) of the table `name`, or of all that there is rows for.

    A table of which nothing can be said yet comes as a NotShown; what no task could
    have is passed over. Raises UserError for an unknown name, and where all that was
    asked for is empty.
    """
    if name is not None and name not in TABLES:
        msg = (
            f"no table {name!r}: expected one of {', '.join(TABLES)}."
            f"{nearest(name, TABLES)}"
        )
        raise UserError(msg)
    if name is None:
        evidence.check_any()
    chosen = [
        each
        for each in (TABLES if name is None else [name])
        if name is not None or (evidence.possible(each) and _could(each, evidence))
    ]
    shown, refused = 0, None
    for stem, built in (each for one in chosen for each in _wanted(one, evidence)):
        try:
            table = built()
        except UserError as error:
            refused = refused or error
            if name is None or name in _BY_METRIC:
                yield stem, NotShown(stem, str(error))
        else:
            shown += 1
            yield stem, marked(table, evidence.marks)
    if refused is not None and not shown:
        raise refused


def _could(name: str, evidence: Evidence) -> bool:
    """Tell whether a table that few benchmarks have is one of this one's."""
    if name in _VIEWS:
        return _VIEWS[name].possible(evidence)
    named = [n for each in evidence.scope.tasks.values() for n in each.structures]
    if name.startswith("shift-"):
        return len(set(named)) < len(named)  # two tasks share a structure
    if name.endswith("-per-organ-group"):
        return bool(organ_groups(named))
    if name == _OF_PREDICTIONS:
        return not {*evidence.shown_metrics()} <= {*CASE_METRICS}
    if name in ("trend", "model-size"):
        return possible("corpus" if name == "trend" else "encoder", evidence)
    return True


def _wanted(name: str, evidence: Evidence) -> Iterator[tuple[str, Callable[[], Shown]]]:
    if name in _SINGLE:
        yield name, partial(_SINGLE[name], evidence)
        return
    if name in _VIEWS:
        yield name, partial(_VIEWS[name].tables[name], evidence)
        return
    evidence.check_any()
    metrics = evidence.shown_metrics()
    if name == _OF_PREDICTIONS:
        metrics = [m for m in metrics if m not in CASE_METRICS] or metrics
    for metric in metrics:
        yield f"{name}-{metric}", partial(_BY_METRIC[name], metric, evidence)
