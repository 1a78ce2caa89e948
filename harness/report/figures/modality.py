"""Differences between encoders pretrained in and across a task's modality."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from ...schema.errors import UserError
from ..evidence import Evidence
from ..findings import Findings, Place
from ..modalities import REUSE, WHOLE, Crossed, crossed, reused, twins
from ..table import LOWER_IS_BETTER, NAMES, budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, legend, panels

Read = Callable[[Evidence], list[Crossed]]
_PANELS = 6  # label budgets of one figure
_MARKS = 40  # structures times pairs of one panel: more cannot be read


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure of scores and one of reuse per task and protocol to compare on."""
    pairs = twins(findings.evidence)
    cells = findings.done
    places = [
        Place(task, protocol)
        for task in dict.fromkeys(pair.task for pair in pairs)
        for protocol in dict.fromkeys(cells[cells.task == task].protocol)
    ]
    return [
        Sketch(name, partial(differences, findings, place, name, read=read))
        for first, read in _kinds(findings)
        for place in places
        for name in [f"{first}_{place.task}_{place.protocol}"]
    ]


def _kinds(findings: Findings) -> list[tuple[str, Read]]:
    kinds: list[tuple[str, Read]] = [("cross_modality", crossed)]
    if "reuse" in findings.evidence.features.kinds:
        kinds.append(("reuse_by_modality", reused))
    return kinds


def differences(
    findings: Findings, place: Place, name: str, *, read: Read = crossed
) -> Drawing:
    """Draw in minus across of every structure or stage, a panel per label budget."""
    try:
        every = read(findings.evidence)
    except UserError as error:
        raise NothingToDraw(str(error)) from error
    found = [o for o in every if (o.twins.task, o.protocol) == tuple(place)]
    if not found:
        msg = f"{name}: no two entries are published here"
        raise NothingToDraw(msg)
    found = [o for o in found if o.analysis == found[0].analysis]
    data = pd.DataFrame([_record(one) for one in found])
    budgets = sorted(data.budget.unique(), key=budget_order)[:_PANELS]
    names = list(dict.fromkeys(data.structure))
    if WHOLE in names:  # after its parts
        names = [*(n for n in names if n != WHOLE), WHOLE]
    pairs = list(dict.fromkeys((o.twins.own, o.twins.cross) for o in found))
    names = names[-max(1, _MARKS // len(pairs)) :]
    height = 0.22 * len(names) * max(1, len(pairs) / 2) + 1.2
    figure, axes = panels(len(budgets), width=3.3, height=height, across=3)
    looks = {(o.twins.own, o.twins.cross): findings.looks[o.twins.own, o.encoder]
             for o in found}  # fmt: skip
    for panel, budget in zip(axes, budgets, strict=True):
        for number, pair in enumerate(pairs):
            mine = (data.method == pair[0]) & (data.other == pair[1])
            own = data[mine & (data.budget == budget) & data.structure.isin(names)]
            shift = 0.5 * ((number + 0.5) / len(pairs) - 0.5)
            y = [names.index(each) + shift for each in own.structure]
            low, high = (own[end].astype(float) for end in ("low", "high"))
            panel.hlines(y, low, high, color=looks[pair].colour, linewidth=0.9)
            panel.plot(own.difference, y, color=looks[pair].colour, linestyle="none",
                       marker=looks[pair].marker)  # fmt: skip
        panel.axvline(0, color=MUTED, linewidth=0.7)
        panel.set(title=budget, xlabel="in minus across", ylim=(len(names) - 0.4, -0.6))
        panel.set_yticks(range(len(names)), names)
        panel.locator_params(axis="x", nbins=5)  # more run into each other
    legend(figure, [looks[pair] for pair in pairs], lines=False)
    against = "; ".join(f"{own} against {cross}" for own, cross in pairs)
    return Drawing(
        family="modality",
        name=name,
        title=f"{_title(found[0])}: {findings.heading(place.task)}",
        caption=(
            f"{_said(found[0])} of an encoder pretrained on the task's modality minus "
            f"that of one pretrained on another ({against}), with "
            f"{findings.evidence.options.level:.0%} intervals."
        ),
        alt=" ".join(
            f"{o.structure} at {o.label_budget}, {o.twins.own}: "
            f"{o.difference.value:+.3f}." for o in found[:12]
        ),
        figure=figure,
        data=data,
        task=place.task,
    )  # fmt: skip


def _title(one: Crossed) -> str:
    reuse = one.metric == REUSE
    return f"{'Feature reuse in' if reuse else 'In'} and across modality"


def _said(one: Crossed) -> str:
    if one.metric == REUSE:
        by = f" ({one.analysis})" if one.analysis else ""
        return (
            "Paired by run, CKA of each stage before fine-tuning with itself after it"
            f"{by},"
        )
    better = "lower" if one.metric in LOWER_IS_BETTER else "higher"
    return f"Paired by case and seed, {NAMES[one.metric]} ({better} is better)"


def _record(one: Crossed) -> dict[str, object]:
    return {
        "structure": one.structure, "budget": one.label_budget,
        "method": one.twins.own, "other": one.twins.cross,
        "other_modality": one.twins.modality, "metric": one.metric,
        "analysis": one.analysis,
        "own": one.own.value, "cross": one.cross.value,
        "difference": one.difference.value, "low": one.difference.low,
        "high": one.difference.high, "cases": one.difference.cases,
    }  # fmt: skip
