"""Where the class token looks: scores against masks, and slices."""

from __future__ import annotations

from ...schema.identity import short
from ..attention_maps import AUC, INSIDE, KIND, MASS, Looking, looking
from ..evidence import Evidence
from ..figures.attention_maps import sketches
from ..representation import LABELS, about_cells, block, estimated
from ..sheet import Column, Row, Sheet, Value
from . import View

_SHOWN = (("auc", AUC), ("inside", INSIDE), ("mass", MASS))


def attention_maps(evidence: Evidence) -> Sheet:
    """Return how well maps of attention find what is labelled, before and after."""
    rows = tuple(_row(one, evidence) for one in looking(evidence))
    heads = {"auc": "AUC inside", "inside": "top 10% inside", "mass": "mass of top 10%"}
    columns = (
        Column("block", "block"), Column("labels", "labels"), Column("method", "method"),
        *(
            Column(name, head, missing="-", bounds=(f"{name}_low", f"{name}_high"))
            for name, head in heads.items()
        ),
        Column("chance", "mask's share", missing="-"),
        Column("heads", "AUC of heads", missing="-"),
        Column("cases", "cases"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        Column("state", "state", printed=False),
        *(
            Column(f"{name}_{end}", f"{name}_{end}", printed=False)
            for name in heads for end in ("low", "high")
        ),
    )  # fmt: skip
    title = "Attention of class tokens against masks"
    return Sheet(
        "attention-maps", title, columns, rows, _notes(evidence), split="block"
    )


def _row(one: Looking, evidence: Evidence) -> Row:
    values: dict[str, Value] = {
        "block": block(one, evidence), "analysis": one.analysis, "task": one.task,
        "protocol": one.protocol, "labels": one.label_budget or "before fine-tuning",
        "state": one.state, "method": one.method, "encoder": one.encoder,
        "chance": one.chance, "cases": one.cases, "runs": one.runs,
    }  # fmt: skip
    for name, quantity in _SHOWN:
        found = one.estimate(quantity, level=evidence.options.level)
        values |= estimated(name, found)
    if AUC in one.heads:
        low, high = one.heads[AUC]
        values["heads"] = f"{low:.3f} to {high:.3f}"
    return Row(values, tuple(map(short, one.keys)))


def _notes(evidence: Evidence) -> tuple[str, ...]:
    return (
        "AUC inside: how likely a labelled voxel of a test crop has more attention than "
        "another one; 0.5 is chance, ties count half. Top 10% inside: which part of the "
        "attention on the tenth of the voxels with the most of it lies on labelled ones; "
        "a constant map has the mask's share. Mass of top 10%: which part of all "
        "attention that tenth has; 0.1 is even attention (METHODS 4.10).",
        "Of the mean over heads, one crop about the labelled voxels of each test case, "
        "all structures together; a crop in the middle favours what looks to the middle. "
        "AUC of heads: the least and the largest of single heads and runs, chosen after "
        "looking. Attention is coarse: a token covers a block of voxels.",
        f"{evidence.options.level:.0%} intervals account for runs and for cases. An "
        "encoder before fine-tuning is one run per pretraining.",
        *about_cells(evidence),
    )


VIEW = View(
    KIND,
    "Where class tokens look",
    "Attention on what is labelled, from encoders that mostly saw no label.",
    kinds=(KIND,),
    tables={"attention-maps": attention_maps},
    images=sketches,
)
