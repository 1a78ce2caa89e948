"""Feature reuse: CKA of each layer before fine-tuning with itself after it."""

from __future__ import annotations

from .. import captions
from ..alignment import Aligned, aligned
from ..evidence import Evidence
from ..figures.alignment import curve_sketches
from ..sheet import Column, Row, Sheet, Value
from ..table import budget_order
from . import View

KIND = "reuse"


def reuse(evidence: Evidence) -> Sheet:
    """Return the reuse of every layer, label budgets side by side."""
    found = aligned(evidence, KIND)
    budgets = sorted({one.label_budget for one in found}, key=budget_order)
    several = len({one.analysis for one in found}) > 1
    grouped: dict[tuple[str, ...], list[Aligned]] = {}
    for one in found:
        place = (one.analysis, one.task, one.protocol, one.method, one.layer)
        grouped.setdefault(place, []).append(one)
    rows = tuple(_row(some, evidence, several=several) for some in grouped.values())
    columns = (
        Column("block", "block"), Column("layer", "layer"),
        *(
            Column(budget, budget, missing="-",
                   bounds=(f"{budget} low", f"{budget} high"))
            for budget in budgets
        ),
        Column("seeds", "runs"), Column("n", "crops"),
        *(
            Column(name, name, printed=False)
            for name in ("analysis", "task", "protocol", "method", "encoder",
                         *(f"{b} {end}" for b in budgets for end in ("low", "high")))
        ),
    )  # fmt: skip
    return Sheet(
        "reuse", "Feature reuse by layer", columns, rows, notes(evidence), split="block"
    )


def _row(some: list[Aligned], evidence: Evidence, *, several: bool) -> Row:
    one = some[0]
    heading = captions.heading(one.task, evidence.scope.tasks[one.task])
    named = f"{one.analysis}: " if several else ""
    values: dict[str, Value] = {
        "block": f"{named}{heading}, {one.protocol}, {one.method}", "layer": one.layer,
        "analysis": one.analysis, "task": one.task, "protocol": one.protocol,
        "method": one.method, "encoder": one.encoder,
        "seeds": max(len(each.runs) for each in some),
        "n": max(each.samples for each in some),
    }  # fmt: skip
    for each in some:
        if each.estimate is not None:
            values |= {
                each.label_budget: each.estimate.value,
                f"{each.label_budget} low": each.estimate.low,
                f"{each.label_budget} high": each.estimate.high,
            }
    keys = dict.fromkeys(key for each in some for key in each.keys)
    return Row(values, tuple(keys))


def notes(evidence: Evidence) -> tuple[str, ...]:
    """Return what has to be said under every table of aligned layers."""
    level = evidence.options.level
    return (
        "Linear CKA with the unbiased estimate of Song et al. over minibatches, in which "
        "1 is the same up to rotation and scale, 0 unrelated; slightly below 0 is "
        "possible. Reuse compares each layer before fine-tuning with itself after it.",
        f"Mean over runs (seeds and folds) with a {level:.0%} interval that accounts for "
        "runs and crops: Student's t over runs, and a bootstrap over batches of crops, "
        "which are the same ones in every run and for every method. '-': a layer whose "
        "features are constant.",
        captions.ONE_PRETRAINING,
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )


VIEW = View(
    "reuse",
    "What fine-tuning leaves",
    "How much of each layer is still what pretraining, or the initialisation, made it.",
    kinds=(KIND,),
    tables={"reuse": reuse},
    figures=curve_sketches,
)
