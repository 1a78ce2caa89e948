"""The sheet of convergence: how soon adaptations are nearly as good as they get."""

from __future__ import annotations

import pandas as pd

from ..analyse.convergence import Convergence, convergence
from ..analyse.scores import lay_out
from ..schema.errors import UserError
from ..schema.identity import short
from . import captions
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value

SHARE = 0.9  # of the best final score (METHODS 4.5)


def converged(evidence: Evidence) -> tuple[list[Convergence], pd.DataFrame]:
    """Return when each group reached its target, and the published cells.

    Raises UserError where no adaptation's validation scores are published.
    """
    evidence.check_any()
    layout = lay_out(evidence.scope.cells)
    codes, keys = pd.factorize(layout.cells.adapt_key)
    rows = evidence.reader.validated(list(keys))
    places = pd.DataFrame({"cell": codes, "own": range(len(codes))})
    rows = rows.merge(places, on="cell").drop(columns="cell")
    if not len(rows):
        msg = "no published adaptation was validated while it ran"
        raise UserError(msg)
    found = convergence(rows.rename(columns={"own": "cell"}), layout, share=SHARE)
    return found, layout.cells


def sheet(evidence: Evidence) -> Sheet:
    """Return steps and hours to nine tenths of the best final validation score."""
    found, cells = converged(evidence)
    named = cells.groupby(["task", "protocol", "label_budget", "method"]).evaluate_key
    keys = {place: tuple(dict.fromkeys(map(short, some))) for place, some in named}
    rows = tuple(
        Row(
            _values(one, evidence),
            keys[one.task, one.protocol, one.label_budget, one.method],
        )
        for one in found
    )
    level = evidence.options.level
    notes = (
        f"Target: {SHARE:.0%} of the best final validation score of the task, protocol "
        "and label budget; curves are averaged over five validations. Steps and hours: "
        "median over runs, with quartiles of the steps; empty where half the runs never "
        "got there. Mean steps: a run that never got there counts the steps of the "
        f"shortest run, with a {level:.0%} interval over seeds. Area: mean height of the "
        "curve up to there. Rank: mean over seeds, 1 for the soonest.",
        "Hours are wall time of the adaptation; pretraining is not in them.",
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    return Sheet("convergence", "Convergence", _COLUMNS, rows, notes, split="block")


def _values(one: Convergence, evidence: Evidence) -> dict[str, Value]:
    heading = captions.heading(one.task, evidence.scope.tasks[one.task])
    return {
        "block": f"{heading}, {one.protocol}", "task": one.task,
        "protocol": one.protocol, "label_budget": one.label_budget,
        "method": one.method, "encoder": one.encoder, "target": one.target,
        "reached": f"{one.reached} of {one.runs}", "step": one.step,
        "step_low": one.step_low, "step_high": one.step_high, "hours": one.hours,
        "mean_step": one.restricted.value, "mean_step_low": one.restricted.low,
        "mean_step_high": one.restricted.high, "area": one.area, "rank": one.rank,
    }  # fmt: skip


_COLUMNS = (
    Column("block", "block"),
    Column("label_budget", "labels"),
    Column("method", "method"),
    Column("target", "target"),
    Column("reached", "reached"),
    Column("step", "steps", digits=0, missing="-", bounds=("step_low", "step_high")),
    Column("hours", "hours", digits=3, missing="-"),
    Column("mean_step", "mean steps", digits=0, bounds=("mean_step_low", "mean_step_high")),
    Column("area", "area"),
    Column("rank", "rank", digits=1, missing="-"),
    *(
        Column(name, name, printed=False)
        for name in (
            "task", "protocol", "encoder", "step_low", "step_high", "mean_step_low",
            "mean_step_high",
        )
    ),
)  # fmt: skip
