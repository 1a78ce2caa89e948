"""Prediction of transfer: what orders methods as their scores do."""

from __future__ import annotations

from ...analyse.transfer import LEAST
from ...schema.identity import short
from .. import captions
from ..evidence import Evidence
from ..figures.transfer import sketches
from ..sheet import Column, Row, Sheet, Value
from ..transfer import ALL_TASKS, Answer, Predictors
from . import View


def transfer(evidence: Evidence) -> Sheet:
    """Return rank correlations of quantities with scores, within tasks and pooled.

    Raises UserError where the analysis transfer is not published, or scores are missing.
    """
    evidence.features.nodes("transfer")
    found = Predictors(evidence)
    answers = found.answers()
    rows = tuple(_row(one, evidence) for one in answers)
    return Sheet(
        "transfer", "What predicts transfer", _columns(evidence.options.level), rows,
        _notes(found, answers), split="block",
    )  # fmt: skip


def _row(one: Answer, evidence: Evidence) -> Row:
    tasks = evidence.scope.tasks
    heading = (
        ALL_TASKS
        if one.task == ALL_TASKS
        else captions.heading(one.task, tasks[one.task])
    )
    values: dict[str, Value] = {
        "block": f"{heading}, {one.protocol}", "task": one.task,
        "protocol": one.protocol, "quantity": one.quantity.head,
        "better": one.quantity.convention, "needs": one.quantity.needs,
        "methods": len(one.found.methods), "cells": one.found.cells,
    }  # fmt: skip
    for name in ("spearman", "kendall"):
        about = getattr(one.found, name)
        values[name] = about.value
        for over in ("methods", "scores"):
            ends = getattr(about, f"over_{over}") or (None, None)
            values |= dict(zip(_ends(name, over), ends, strict=True))
    low, high = (values[end] for end in _ends("spearman", "scores"))
    values["by_scores"] = (
        None if low is None or high is None else f"{low:+.2f} to {high:+.2f}"
    )
    nodes = evidence.features.nodes("transfer")
    own = nodes if one.task == ALL_TASKS else nodes[nodes.task == one.task]
    return Row(values, tuple(map(short, dict.fromkeys(own.evaluate_key.dropna()))))


def _ends(name: str, over: str) -> tuple[str, str]:
    return f"{name}_{over}_low", f"{name}_{over}_high"


def _columns(level: float) -> tuple[Column, ...]:
    few = f"fewer than {LEAST} methods, or all alike"
    hidden = [
        end
        for name in ("spearman", "kendall")
        for over in ("methods", "scores")
        for end in _ends(name, over)
    ]
    return (
        Column("block", "block"),
        Column("quantity", "quantity"),
        Column("better", "taken for better"),
        Column("needs", "needs"),
        Column("spearman", f"Spearman [{level:.0%} over methods]", digits=2, signed=True,
               missing=few, bounds=_ends("spearman", "methods")),
        Column("by_scores", f"{level:.0%} over cases and seeds", missing="-"),
        Column("kendall", f"Kendall [{level:.0%} over methods]", digits=2, signed=True,
               missing="-", bounds=_ends("kendall", "methods")),
        Column("methods", "methods"),
        Column("cells", "cells"),
        *(Column(n, n, digits=6, printed=False) for n in ("task", "protocol", *hidden)),
    )  # fmt: skip


def _notes(found: Predictors, answers: list[Answer]) -> tuple[str, ...]:
    evidence = found.evidence
    tried = len({one.quantity.name for one in answers})
    lacking = ", ".join(one.head for one in found.lacking())
    return (
        "Rank correlation of a quantity with the score by each task's first metric, "
        "oriented so that +1 says: what is taken for better in the quantity scores "
        "better. Ranks are taken within a task, protocol and label budget and pooled; a "
        "cell is a method there, mean over seeds.",
        "Over methods: these methods are drawn again with replacement, the scores as "
        "measured. Over cases and seeds: those of the scores are drawn again, the methods "
        "as they are. Neither holds the doubt of the quantity itself, of one pretraining "
        "per method, or of which tasks there are. Few methods agree by chance: of four, "
        "one order in 24 is perfect, whatever an interval says.",
        f"{tried} quantities were tried on the same cells, and no interval is corrected "
        "for that: the best of them looks better than it is.",
        "Quantities are measured on test images, before anything is adapted, and without "
        "their classes but for k-NN accuracy; CKA reuse is known only after fine-tuning.",
        *([f"Not measured here: {lacking}."] if lacking else []),
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )


VIEW = View(
    "transfer",
    "What predicts transfer",
    "Whether quantities that need no labels put methods in the order of their scores.",
    kinds=("transfer",),
    tables={"transfer": transfer},
    figures=sketches,
)
