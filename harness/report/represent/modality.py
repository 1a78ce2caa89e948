"""Across modalities: encoders pretrained on one and used on another."""

from __future__ import annotations

from ...analyse.estimate import Estimate
from .. import captions
from ..evidence import Evidence
from ..figures.modality import sketches
from ..modalities import Crossed, crossed, reused, twins
from ..representation import about_cells, in_file_order
from ..sheet import Column, Row, Sheet, Value
from ..table import LOWER_IS_BETTER, NAMES, RANGES
from . import View

_ENDS = ("own", "cross", "difference")


def cross_modality(evidence: Evidence) -> Sheet:
    """Return each structure's scores in and across modality, and their difference.

    Raises UserError, which says what is missing, where there is nothing to compare.
    """
    found = crossed(evidence)
    metrics = [metric for metric in RANGES if metric in {one.metric for one in found}]
    names = {str(metric): NAMES[metric] for metric in metrics}
    rows = [
        Row(
            _values(one, evidence) | {
                "metric": names[one.metric], "cases": one.difference.cases,
            },
            one.keys,
        )
        for one in _in_order(found, evidence)
    ]  # fmt: skip
    lower = sorted(NAMES[metric] for metric in metrics if metric in LOWER_IS_BETTER)
    notes = (
        "Two entries of a method that differ in their corpus alone: one pretrained on "
        "the task's modality, one on another. Difference: in minus across, paired by "
        "case and seed. What else differs between the corpora, such as their size, is "
        "in it.",
        *([f"Lower is better in {', '.join(lower)}."] if lower else []),
        *captions.of_pretraining(evidence.layout(metrics[0])),
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    columns = (
        Column("structure", "structure"), Column("metric", "metric"),
        *_columns(evidence.options.level), Column("cases", "cases"),
    )  # fmt: skip
    title = "Scores in and across modality"
    return _sheet("cross-modality", title, columns, rows, notes)


def reuse_by_modality(evidence: Evidence) -> Sheet:
    """Return how much of encoders is reused in and across modality, by stage.

    Raises UserError where the analysis reuse is not published, or there is nothing to
    compare.
    """
    rows = [
        Row(_values(one, evidence), one.keys)
        for one in _in_order(reused(evidence), evidence)
    ]
    notes = (
        "Linear CKA of each encoder layer before fine-tuning with itself after it, mean "
        "over the layers of a stage; mean over runs (seeds and folds) with Student's "
        "interval, paired by run. Crops are the same for both.",
        *about_cells(evidence),
    )
    columns = (Column("structure", "stage"), *_columns(evidence.options.level))
    title = "Feature reuse in and across modality"
    return _sheet("reuse-by-modality", title, columns, rows, notes)


def _in_order(found: list[Crossed], evidence: Evidence) -> list[Crossed]:
    tasks, _ = in_file_order(evidence)
    return sorted(
        found, key=lambda one: (tasks.index(one.twins.task), one.protocol, one.analysis)
    )


def _values(one: Crossed, evidence: Evidence) -> dict[str, Value]:
    pair, facts = one.twins, evidence.scope.tasks[one.twins.task]
    named = f"{one.analysis}: " if one.analysis else ""
    heading = captions.heading(pair.task, facts)
    values: dict[str, Value] = {
        "block": f"{named}{heading}, {facts.modality}, {one.protocol}",
        "task": pair.task, "protocol": one.protocol, "label_budget": one.label_budget,
        "method": pair.own, "other": pair.cross, "modality": facts.modality,
        "other_modality": pair.modality, "structure": one.structure,
        "encoder": one.encoder, "seeds": one.difference.seeds,
    }  # fmt: skip
    for name in _ENDS:
        values |= _ends(name, getattr(one, name))
    return values


def _ends(name: str, one: Estimate) -> dict[str, Value]:
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def _columns(level: float) -> tuple[Column, ...]:
    heads = (
        f"in [{level:.0%} interval]", f"across [{level:.0%} interval]",
        f"in minus across [{level:.0%} interval]",
    )  # fmt: skip
    return (
        Column("label_budget", "labels"), Column("method", "in modality"),
        Column("other", "across"), Column("other_modality", "from"),
        *(
            Column(name, head, signed=name == "difference",
                   bounds=(f"{name}_low", f"{name}_high"))
            for name, head in zip(_ENDS, heads, strict=True)
        ),
        Column("seeds", "seeds"),
    )  # fmt: skip


def _sheet(
    name: str,
    title: str,
    columns: tuple[Column, ...],
    rows: list[Row],
    notes: tuple[str, ...],
) -> Sheet:
    hidden = ("task", "protocol", "encoder", "modality", *(
        f"{each}_{end}" for each in _ENDS for end in ("low", "high")
    ))  # fmt: skip
    shown = (
        Column("block", "block"), *columns,
        *(Column(each, each, digits=6, printed=False) for each in hidden),
    )  # fmt: skip
    return Sheet(name, title, shown, tuple(rows), notes, split="block")


VIEW = View(
    "modality",
    "Across modalities",
    "What pretraining on images of another modality costs, and how much of it is kept.",
    tables={"cross-modality": cross_modality, "reuse-by-modality": reuse_by_modality},
    figures=sketches,
    when=lambda evidence: bool(twins(evidence)),
)
