"""Tables of a plan: what its cells are, which are published, what its tasks score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, get_args

from ..schema.errors import UserError, nearest
from ..schema.task import Metric
from .table import Kind, Table

if TYPE_CHECKING:
    import pandas as pd

    from ..plan import Plan
    from ..store import Store

GAP = "gap"
TABLES: tuple[str, ...] = (*get_args(Metric), GAP)


def tables(
    plan: Plan,
    store: Store,
    name: str | None = None,
    *,
    undefined: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, Table]]:
    """Yield (file stem, table) of the table `name`, or of every metric of the matrix.

    undefined: {metric: policy name} of what undefined values count as. Raises UserError
    where nothing is published yet or the table does not exist.
    """
    from .reader import StoreReader
    from .tables import build

    specs = {task.name: task.spec for task in plan.matrix.tasks}
    metrics, kind = _wanted(name, {m for spec in specs.values() for m in spec.metrics})
    cells = cell_records(plan)
    for metric in metrics:
        table = build(
            metric,
            cells,
            StoreReader.of(store),
            specs,
            kind=kind,
            policy_name=(undefined or {}).get(metric),
            available=_found(plan),
        )
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


def cell_records(plan: Plan) -> pd.DataFrame:
    """Return one row per cell of the plan, as `build` takes them."""
    import pandas as pd

    done = {cell.evaluate_key for cell in plan.done}
    tier = plan.matrix.tier
    return pd.DataFrame.from_records(
        [
            {
                "method": cell.method,
                "encoder": cell.encoder,
                "task": cell.task,
                "protocol": cell.protocol,
                "label_budget": cell.budget,
                "fold": cell.fold,
                "seed": cell.seed,
                "subset_seed": cell.subset_seed,
                "pretraining_seed": cell.pretraining_seed,
                "pretraining_key": cell.pretrain_key,
                "evaluate_key": cell.evaluate_key,
                "state": "done" if cell.evaluate_key in done else "missing",
                "tier": tier,
            }
            for cell in plan.cells
        ]
    )


def _found(plan: Plan) -> dict[str, int]:
    """Return how many labelled cases there are, of tasks whose data is here."""
    listings = {task.name: plan.listing(task.name) for task in plan.matrix.tasks}
    return {
        name: len(listing.cases)
        for name, listing in listings.items()
        if listing.cases is not None
    }
