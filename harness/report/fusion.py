"""How much the encoders of a fusion attend to each other (METHODS 6 #25)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analyse.intervals import Floats
from ..schema.errors import UserError
from .evidence import Evidence
from .table import budget_order

_PLACE = ("task", "protocol", "label_budget", "method", "encoder")
_LAYER = "fusion"  # as harness.run.adapt.fusing calls it


@dataclass(frozen=True)
class Fused:
    """Attention between the encoders of one fusion with one label budget.

    members: names of the encoders, or their numbers where names are not known; shares
    (runs, M, M), who looks by who is seen, rows of sum 1, each the mean over test cases;
    cases: the test cases of a run; keys: of the evaluations.
    """

    task: str
    protocol: str
    label_budget: str
    method: str
    encoder: str
    members: tuple[str, ...]
    shares: Floats
    cases: int
    keys: tuple[str, ...]


def fused_rows(evidence: Evidence) -> pd.DataFrame:
    """Return the published rows of attention between encoders, with labels of cells."""
    cells = evidence.scope.cells
    done = cells[cells.state == "done"]
    if known := evidence.scope.members:  # else any cell may be one of a fusion
        done = done[done.method.isin(known)]
    done = done.reset_index(drop=True)
    rows = evidence.reader.features(list(done.evaluate_key))
    rows = rows[(rows.layer == _LAYER) & rows.quantity.str.startswith("attention.")]
    own = done.iloc[rows.cell.to_numpy(int)].reset_index(drop=True)
    return own.assign(
        quantity=rows.quantity.to_numpy(dtype=object),
        value=rows.value.to_numpy(dtype=np.float64), n=rows.n.to_numpy(),
    )  # fmt: skip


def fused(evidence: Evidence) -> list[Fused]:
    """Return every fusion that attends. Raises UserError where there is none."""
    rows = fused_rows(evidence)
    if not len(rows):
        msg = (
            "no published fusion keeps attention between its encoders: it takes one with "
            "attention: self (attention: none has none) that is finished"
        )
        raise UserError(msg)
    found = []
    for place, own in rows.groupby(list(_PLACE), sort=False):
        wide = own.pivot_table("value", "evaluate_key", "quantity", sort=False)
        count = round(wide.shape[1] ** 0.5)
        names = [f"attention.{i}.{j}" for i in range(count) for j in range(count)]
        shares = wide[names].to_numpy(dtype=np.float64).reshape(-1, count, count)
        task, protocol, budget, method, encoder = map(str, place)
        known = evidence.scope.members.get(method, ())
        numbers = tuple(f"encoder {number}" for number in range(1, count + 1))
        found.append(
            Fused(
                task,
                protocol,
                budget,
                method,
                encoder,
                known if len(known) == count else numbers,
                shares,
                int(own.n.max()),
                tuple(map(str, wide.index)),
            )
        )
    return sorted(found, key=lambda one: budget_order(one.label_budget))
