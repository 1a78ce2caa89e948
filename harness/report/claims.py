"""The sheet of claims: what a benchmark file states, checked against what was measured."""

from __future__ import annotations

from ..analyse.claims import Checked, check_claims
from ..analyse.contrast import task_scores
from ..analyse.questions import Scored
from ..analyse.scores import Layout
from ..schema.errors import UserError
from ..schema.identity import short
from . import captions
from .evidence import Evidence
from .measures import Measures
from .sheet import Column, Row, Sheet, Value
from .table import MEASURES


def claims(evidence: Evidence) -> Sheet:
    """Return every claim with its verdict. Raises UserError where none is stated."""
    stated, options = evidence.scope.claims, evidence.options
    if not stated:
        msg = (
            "no claims are stated: list them under claims: in the benchmark file, as in "
            "'- a > b on dice'"
        )
        raise UserError(msg)
    evidence.check_any()
    shown = evidence.shown_metrics()
    found = check_claims(
        stated,
        lambda metric, part: _source(evidence, metric, part),
        methods=list(dict.fromkeys(evidence.scope.cells.method)),
        metric=shown[0] if shown else "dice",
        measure=Measures(evidence),
        level=options.level,
    )
    cells = evidence.scope.cells
    done = cells[cells.state == "done"]
    rows = []
    for one in found:
        named = {name for side in one.stated.claim.sides for name in side.names}
        own = done if "*" in named else done[done.method.isin(named)]
        keys = tuple(dict.fromkeys(map(short, own.evaluate_key)))
        rows.append(Row(_values(one), keys, marked=one.verdict == "supported"))
    notes = (
        f"Supported or contradicted: the {options.level:.0%} interval of the difference, "
        "paired by case and seed within a task, lies on one side; corrected for their "
        "number where a claim makes several comparisons. Else undecided.",
        "Held: settings (task, protocol, label budget) in which the difference has the "
        "claimed sign, of those measured. The evaluations linked are all of the methods "
        "that the claim names.",
        *captions.of_tier(cells),
        *evidence.scope.notes,
    )
    return Sheet("claims", "Claims", _COLUMNS, tuple(rows), notes)


_COLUMNS = (
    Column("id", "id"),
    Column("claim", "claim"),
    Column("verdict", "verdict"),
    Column("difference", "difference", signed=True, bounds=("low", "high")),
    Column("held", "held"),
    Column("published", "published"),
    Column("measured", "measured", bounds=("measured_low", "measured_high")),
    Column("reason", "why undecided"),
    *(
        Column(name, name, digits=6, printed=False)
        for name in (
            "low", "high", "measured_low", "measured_high", "inside", "steps",
            "steps_supported", "source", "note", "where",
        )
    ),
)  # fmt: skip


def _values(one: Checked) -> dict[str, Value]:
    entry = one.stated.entry
    values: dict[str, Value] = {
        "id": entry.id,
        "claim": one.stated.claim.text,
        "verdict": one.verdict,
        "reason": one.reason,
        "published": one.published,
        "inside": one.inside,
        "steps": len(one.steps),
        "steps_supported": sum(step.verdict == "supported" for step in one.steps),
        "source": entry.source,
        "note": entry.note,
        "where": one.stated.where,
    }
    if one.measured is not None:
        values |= {
            "measured": one.measured.value,
            "measured_low": one.measured.low,
            "measured_high": one.measured.high,
        }
    if len(one.steps) > 1:
        values["held"] = f"{values['steps_supported']} of {len(one.steps)} comparisons"
    elif one.steps:
        step = one.steps[0]
        values["held"] = f"{step.held} of {step.blocks}"
        if step.difference is not None:
            values |= {
                "difference": step.difference.value,
                "low": step.difference.low,
                "high": step.difference.high,
            }
    return values


def _source(
    evidence: Evidence, metric: str, part: str | None
) -> tuple[Layout, Scored] | None:
    """Return the scores of a metric, of one structure or class of it, if measured."""
    name = next((one for one in MEASURES if one == metric), None)
    if name is None:
        return None
    try:
        layout = evidence.layout(name)
        if name == "dice" or name == "hd95":
            return layout, task_scores(evidence.stacked(name, structure=part))
        if part is None:
            return layout, task_scores(drawn=evidence.drawn(name))
        place = _class(evidence, part)
        if name != "auc" or place is None:
            return None
        return layout, task_scores(drawn=evidence.drawn(name, only=place))
    except UserError:
        return None


def _class(evidence: Evidence, name: str) -> int | None:
    """Return the place of a class, if every task that has it gives it the same."""
    places = {
        facts.classes.index(name)
        for facts in evidence.scope.tasks.values()
        if name in facts.classes
    }
    return places.pop() if len(places) == 1 else None
