"""Where the class token looks: scores against masks, and slices."""

from __future__ import annotations

from ...schema.errors import UserError
from ...schema.identity import short
from ..attention_maps import (
    AUC,
    INSIDE,
    KIND,
    MASS,
    Looking,
    LooksApart,
    between_methods,
    looking,
    over_fine_tuning,
)
from ..evidence import Evidence
from ..figures.attention_maps import sketches
from ..representation import LABELS, about_cells, block, estimated, leaves_out_0
from ..sheet import Column, Row, Sheet, Value
from . import View

_SHOWN = (("auc", AUC), ("inside", INSIDE), ("mass", MASS))
_ENDS = ("auc_low", "auc_high", "inside_low", "inside_high")
_NO_STRUCTURES = (
    "no published analysis attention_maps keeps scores of structures: the tasks have no "
    "masks, or it was made by an earlier version (set it aside with harness clean and run "
    "it again)"
)


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


def by_structure(evidence: Evidence) -> Sheet:
    """Return the same for each structure alone, against everything else in a crop."""
    found = looking(evidence, structures=True)
    if not found:
        raise UserError(_NO_STRUCTURES)
    rows = tuple(
        Row({**row.values, "structure": one.structure}, row.keys)
        for one in found for row in [_row(one, evidence)]
    )  # fmt: skip
    columns = (
        Column("block", "block"), Column("structure", "structure"),
        Column("labels", "labels"), Column("method", "method"),
        Column("auc", "AUC inside", missing="-", bounds=("auc_low", "auc_high")),
        Column("inside", "top 10% inside", missing="-",
               bounds=("inside_low", "inside_high")),
        Column("chance", "mask's share", missing="-"),
        Column("cases", "cases"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(Column(name, name, printed=False) for name in ("state", *_ENDS)),
    )  # fmt: skip
    notes = (
        "One structure inside, everything else of the crop outside, other structures "
        "too. Cases: those whose crop has the structure.",
        *_notes(evidence),
    )
    title = "Attention of class tokens against masks, by structure"
    name = "attention-maps-by-structure"
    return Sheet(name, title, columns, rows, notes, split="block")


def differences(evidence: Evidence) -> Sheet:
    """Return differences of methods, and of each one to itself before fine-tuning."""
    level = evidence.options.level
    rows = []
    for structures in (False, True):
        found = looking(evidence, structures=structures)
        rows += [
            _difference(each, evidence)
            for pairs in (
                over_fine_tuning(evidence, structures=structures, level=level),
                between_methods(found, level=level),
            )
            for each in pairs
        ]
    columns = (
        Column("block", "block"), Column("structure", "structure"),
        Column("labels", "labels"), Column("method", "method"),
        Column("other", "minus"),
        Column("auc", "AUC inside", signed=True, missing="-",
               bounds=("auc_low", "auc_high")),
        Column("inside", "top 10% inside", signed=True, missing="-",
               bounds=("inside_low", "inside_high")),
        Column("cases", "cases"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(Column(name, name, printed=False) for name in ("state", *_ENDS)),
    )  # fmt: skip
    notes = (
        "Differences are paired by test case and by run (seed); a row stands out where "
        "the interval of either leaves out 0, without a correction for the number of "
        "rows. Minus itself before fine-tuning: runs that share a pretraining share what "
        "is taken off. '-': no case and run in common.",
        *_notes(evidence),
    )
    title = "Attention of class tokens against masks: differences"
    name = "attention-maps-differences"
    return Sheet(name, title, columns, tuple(rows), notes, split="block")


def _difference(each: LooksApart, evidence: Evidence) -> Row:
    one, other = each.one, each.other
    itself = (one.method, one.encoder) == (other.method, other.encoder)
    values = _labels(one, evidence) | {
        "structure": one.structure, "cases": each.cases, "runs": each.runs,
        "other": "itself before fine-tuning" if itself else other.method,
    }  # fmt: skip
    values |= estimated("auc", each.auc) | estimated("inside", each.inside)
    keys = tuple(map(short, dict.fromkeys((*one.keys, *other.keys))))
    return Row(values, keys, marked=any(map(leaves_out_0, (each.auc, each.inside))))


def _row(one: Looking, evidence: Evidence) -> Row:
    values = _labels(one, evidence)
    values |= {"chance": one.chance, "cases": one.cases, "runs": one.runs}
    for name, quantity in _SHOWN:
        found = one.estimate(quantity, level=evidence.options.level)
        values |= estimated(name, found)
    if AUC in one.heads:
        low, high = one.heads[AUC]
        values["heads"] = f"{low:.3f} to {high:.3f}"
    return Row(values, tuple(map(short, one.keys)))


def _labels(one: Looking, evidence: Evidence) -> dict[str, Value]:
    return {
        "block": block(one, evidence), "analysis": one.analysis, "task": one.task,
        "protocol": one.protocol, "labels": one.label_budget or "before fine-tuning",
        "state": one.state, "method": one.method, "encoder": one.encoder,
    }  # fmt: skip


def _notes(evidence: Evidence) -> tuple[str, ...]:
    return (
        "AUC inside: how likely a labelled voxel of a test crop has more attention than "
        "another one; 0.5 is chance, ties count half. Top 10% inside: which part of the "
        "attention on the tenth of the voxels with the most of it lies on labelled ones; "
        "a constant map has the mask's share. Mass of top 10%: which part of all "
        "attention that tenth has; 0.1 is even attention (METHODS 4.10).",
        "Of the mean over heads, one crop about the labelled voxels of each test case; "
        "'all' are the structures as one mask. A crop in the middle favours what looks to "
        "the middle. "
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
    tables={
        "attention-maps": attention_maps,
        "attention-maps-by-structure": by_structure,
        "attention-maps-differences": differences,
    },
    images=sketches,
)
