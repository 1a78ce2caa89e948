"""Differences between encoders pretrained in and across a task's modality."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...schema.errors import UserError
from ..findings import Findings, Place
from ..modalities import WHOLE, Crossed, crossed, twins
from ..table import LOWER_IS_BETTER, NAMES, budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, legend, panels

_PANELS = 6  # label budgets of one figure
_MARKS = 40  # structures times pairs of one panel: more cannot be read


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task and protocol with entries to compare."""
    pairs = twins(findings.evidence)
    cells = findings.done
    places = [
        Place(task, protocol)
        for task in dict.fromkeys(pair.task for pair in pairs)
        for protocol in dict.fromkeys(cells[cells.task == task].protocol)
    ]
    return [
        Sketch(name, partial(differences, findings, place, name))
        for place in places
        for name in [f"cross_modality_{place.task}_{place.protocol}"]
    ]


def differences(findings: Findings, place: Place, name: str) -> Drawing:
    """Draw in minus across of every structure, a panel per label budget."""
    try:
        every = crossed(findings.evidence)
    except UserError as error:
        raise NothingToDraw(str(error)) from error
    found = [o for o in every if (o.twins.task, o.protocol) == tuple(place)]
    if not found:
        msg = f"{name}: no two entries are published here"
        raise NothingToDraw(msg)
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
    legend(figure, [looks[pair] for pair in pairs], lines=False)
    metric = found[0].metric
    level = findings.evidence.options.level
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    against = "; ".join(f"{own} against {cross}" for own, cross in pairs)
    return Drawing(
        family="modality",
        name=name,
        title=f"In and across modality: {findings.heading(place.task)}",
        caption=(
            f"{NAMES[metric]} ({better} is better) of an encoder pretrained on the task's "
            f"modality minus that of one pretrained on another ({against}), paired by "
            f"case and seed, with {level:.0%} intervals."
        ),
        alt=" ".join(
            f"{o.structure} at {o.label_budget}, {o.twins.own}: "
            f"{o.difference.value:+.3f}." for o in found[:12]
        ),
        figure=figure,
        data=data,
        task=place.task,
    )  # fmt: skip


def _record(one: Crossed) -> dict[str, object]:
    return {
        "structure": one.structure, "budget": one.label_budget,
        "method": one.twins.own, "other": one.twins.cross,
        "other_modality": one.twins.modality, "metric": one.metric,
        "own": one.own.value, "cross": one.cross.value,
        "difference": one.difference.value, "low": one.difference.low,
        "high": one.difference.high, "cases": one.difference.cases,
    }  # fmt: skip
