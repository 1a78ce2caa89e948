"""Similarity: CKA of fine-tuned networks across label budgets, seeds and methods."""

from __future__ import annotations

from ..alignment import Aligned, Depth, aligned, depths, notes
from ..evidence import Evidence
from ..figures.alignment import curve_sketches
from ..figures.drawing import Sketch
from ..figures.layer_maps import map_sketches
from ..figures.pairs import pair_sketches
from ..findings import Findings
from ..representation import LABELS, block, estimated
from ..sheet import Column, Row, Sheet, Value
from . import View

KIND = "similarity"
_COLUMNS = (
    Column("block", "block"), Column("label_budget", "labels"),
    Column("method", "method"), Column("against", "against"),
)  # fmt: skip
_ENDS = ("cka_low", "cka_high")


def similarity(evidence: Evidence) -> Sheet:
    """Return how alike two networks are, mean over layers."""
    rows = tuple(_whole(one, evidence) for one in depths(aligned(evidence, KIND)))
    columns = (
        *_COLUMNS, Column("cka", "mean CKA", bounds=_ENDS),
        Column("lowest", "lowest layer"), Column("least", "CKA there"),
        Column("runs", "pairs"), Column("crops", "crops"),
        *(one for one in LABELS if one.name != "method"),
        *(Column(name, name, printed=False) for name in _ENDS),
    )  # fmt: skip
    title = "How alike fine-tuned networks are"
    said = ("Mean CKA: over all layers of encoder and decoder.", *_notes(evidence))
    return Sheet("similarity", title, columns, rows, said, split="block")


def by_layer(evidence: Evidence) -> Sheet:
    """Return how alike two networks are in every layer."""
    rows = tuple(
        Row(
            _labels(one, evidence)
            | {"layer": one.layer, "runs": len(one.runs), "crops": one.samples}
            | estimated("cka", one.estimate),
            one.keys,
        )
        for one in aligned(evidence, KIND)
    )
    columns = (
        *_COLUMNS, Column("layer", "layer"),
        Column("cka", "CKA", missing="-", bounds=_ENDS),
        Column("runs", "pairs"), Column("crops", "crops"),
        *(one for one in LABELS if one.name != "method"),
        *(Column(name, name, printed=False) for name in _ENDS),
    )  # fmt: skip
    title = "How alike fine-tuned networks are, by layer"
    said = _notes(evidence)
    return Sheet("similarity-by-layer", title, columns, rows, said, split="block")


def _whole(one: Depth, evidence: Evidence) -> Row:
    least = one.lowest.estimate
    values = _labels(one.first, evidence) | estimated("cka", one.estimate)
    values |= {"runs": len(one.runs), "crops": one.first.samples}
    values |= {"lowest": one.lowest.layer, "least": least.value if least else None}
    return Row(values, one.keys)


def _labels(one: Aligned, evidence: Evidence) -> dict[str, Value]:
    return {
        "block": block(one, evidence), "analysis": one.analysis, "task": one.task,
        "protocol": one.protocol, "label_budget": one.label_budget,
        "method": one.method, "encoder": one.encoder,
        "against": one.against.removeprefix("method=").removeprefix("label_budget="),
    }  # fmt: skip


def _notes(evidence: Evidence) -> tuple[str, ...]:
    return (
        "Against: the second network differs in this alone. Seeds: the first against "
        "each other one; those pairs share a network, so that their interval is of the "
        "crops and not of the pairs.",
        *notes(evidence),
    )


def _figures(findings: Findings) -> list[Sketch]:
    return [
        *pair_sketches(findings, KIND),
        *curve_sketches(findings, KIND),
        *map_sketches(findings, KIND),
    ]


VIEW = View(
    "similarity",
    "How alike networks become",
    "Fine-tuned networks against each other: with few labels and with many, from one "
    "seed and from another, of one method and of another.",
    kinds=(KIND,),
    tables={"similarity": similarity, "similarity-by-layer": by_layer},
    figures=_figures,
)
