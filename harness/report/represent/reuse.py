"""Feature reuse: CKA of each layer before fine-tuning with itself after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..alignment import (
    Aligned,
    Depth,
    aligned,
    depths,
    notes,
    paired,
)
from ..consistency import consistencies
from ..evidence import Evidence
from ..figures.alignment import curve_sketches
from ..figures.drawing import Sketch
from ..figures.layer_maps import map_sketches
from ..findings import Findings
from ..representation import BASELINE, LABELS, baseline_of, block, estimated
from ..sheet import Column, Row, Sheet, Value
from ..table import budget_order
from . import View

KIND = "reuse"


def reuse(evidence: Evidence) -> Sheet:
    """Return the reuse of every layer, label budgets side by side."""
    found = aligned(evidence, KIND)
    budgets = sorted({one.label_budget for one in found}, key=budget_order)
    grouped: dict[tuple[str, ...], list[Aligned]] = {}
    for one in found:
        place = (one.analysis, one.task, one.protocol, one.method, one.layer)
        grouped.setdefault(place, []).append(one)
    rows = tuple(_row(some, evidence) for some in grouped.values())
    ends = [f"{budget} {end}" for budget in budgets for end in ("low", "high")]
    columns = (
        Column("block", "block"), Column("layer", "layer"),
        *(
            Column(b, b, missing="-", bounds=(f"{b} low", f"{b} high")) for b in budgets
        ),
        Column("runs", "runs"), Column("crops", "crops"),
        *LABELS, *(Column(name, name, printed=False) for name in ends),
    )  # fmt: skip
    title = "Feature reuse by layer"
    return Sheet("reuse", title, columns, rows, notes(evidence), split="block")


def _row(some: Sequence[Aligned], evidence: Evidence) -> Row:
    one = some[0]
    values: dict[str, Value] = {
        "block": f"{block(one, evidence)}, {one.method}", "layer": one.layer,
        "analysis": one.analysis, "task": one.task, "protocol": one.protocol,
        "method": one.method, "encoder": one.encoder,
        "runs": max(len(each.runs) for each in some),
        "crops": max(each.samples for each in some),
    }  # fmt: skip
    for each in some:
        values |= estimated(each.label_budget, each.estimate, " ")
    keys = dict.fromkeys(key for each in some for key in each.keys)
    return Row(values, tuple(keys))


def by_method(evidence: Evidence) -> Sheet:
    """Return the mean reuse over layers, methods beside each other."""
    made = depths(aligned(evidence, KIND))
    at: Mapping[tuple[str, ...], Depth] = {one.first.setting: one for one in made}
    rows = []
    for one in made:
        first, values = one.first, _labels(one.first, evidence)
        values |= {"runs": len(one.runs), "crops": first.samples}
        values |= {"lowest": one.lowest.layer} | estimated("reuse", one.estimate)
        base = baseline_of(first.method, first.encoder, evidence)
        other = base and at.get((*first.setting[:3], *base, *first.setting[5:]))
        if other:
            apart = paired(one.runs, other.runs, level=first.level)
            values |= {"other": other.first.method} | estimated("difference", apart)
        rows.append(Row(values, one.keys))
    columns = (
        Column("block", "block"), Column("label_budget", "labels"),
        Column("method", "method"),
        Column("reuse", "mean CKA", bounds=("reuse_low", "reuse_high")),
        Column("lowest", "lowest layer"), *BASELINE,
        Column("runs", "runs"), Column("crops", "crops"),
        *(one for one in LABELS if one.name != "method"),
        Column("reuse_low", "reuse_low", printed=False),
        Column("reuse_high", "reuse_high", printed=False),
    )  # fmt: skip
    more = (
        "Mean CKA: over all layers of encoder and decoder. The difference is paired by "
        "seed and fold, with Student's interval over runs; the crops are the same ones.",
    )
    title = "Feature reuse by method"
    said = (*more, *notes(evidence))
    return Sheet("reuse-by-method", title, columns, tuple(rows), said, split="block")


def consistency(evidence: Evidence) -> Sheet:
    """Return how alike reuse is at every label budget and at the largest."""
    rows = []
    for one in consistencies(aligned(evidence, KIND)):
        values = _labels(one.few, evidence) | {"many": one.many, "layers": one.layers}
        values |= {"runs": len(one.runs)} | estimated("consistency", one.estimate)
        rows.append(Row(values, one.keys))
    bounds = ("consistency_low", "consistency_high")
    columns = (
        Column("block", "block"), Column("label_budget", "few labels"),
        Column("many", "many"), Column("method", "method"),
        Column("consistency", "consistency", bounds=bounds),
        Column("layers", "layers"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(Column(name, name, printed=False) for name in bounds),
    )  # fmt: skip
    more = (
        "Consistency: 1 minus the mean over layers of the absolute difference between "
        "reuse with few labels and reuse with many (METHODS 4.4), within a run; 1 where "
        "the number of labels changes nothing. Student's interval over runs: what the "
        "crops leave in doubt is not in it. The method without pretraining shows what "
        "the same steps do to features that nobody trained.",
    )
    title = "Consistency of feature reuse over label budgets"
    said = (*more, *notes(evidence))
    return Sheet("reuse-consistency", title, columns, tuple(rows), said, split="block")


def _labels(one: Aligned, evidence: Evidence) -> dict[str, Value]:
    return {
        "block": block(one, evidence), "analysis": one.analysis, "task": one.task,
        "protocol": one.protocol, "label_budget": one.label_budget,
        "method": one.method, "encoder": one.encoder,
    }  # fmt: skip


def _figures(findings: Findings) -> list[Sketch]:
    return [*curve_sketches(findings, KIND), *map_sketches(findings, KIND)]


VIEW = View(
    "reuse",
    "What fine-tuning leaves",
    "How much of each layer is still what pretraining, or the initialisation, made it.",
    kinds=(KIND,),
    tables={
        "reuse": reuse, "reuse-by-method": by_method, "reuse-consistency": consistency
    },
    figures=_figures,
)  # fmt: skip
