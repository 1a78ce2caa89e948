"""How alike the networks of different methods are: a square of all pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...schema.errors import UserError
from ..alignment import SEEDS, Depth, aligned, depths
from ..findings import Findings
from ..table import budget_order
from .cases import spread
from .drawing import Drawing, NothingToDraw, Sketch
from .style import panels

_BUDGETS = 3
_Place = tuple[str, str, str]  # analysis, task, protocol


def pair_sketches(findings: Findings, kind: str) -> list[Sketch]:
    """Return a figure per task and protocol where methods are compared."""
    try:
        nodes = findings.evidence.features.nodes(kind)
    except UserError:
        return []
    nodes = nodes[nodes.against.str.startswith("method=")]
    places = dict.fromkeys(zip(nodes.analysis, nodes.task, nodes.protocol, strict=True))
    named = len({place[0] for place in places}) > 1
    return [
        Sketch(name, partial(_pairs, findings, kind, place, name))
        for place in places
        for name in ["_".join([place[0] if named else kind, "methods", *place[1:]])]
    ]


def _pairs(findings: Findings, kind: str, place: _Place, name: str) -> Drawing:
    """Draw mean CKA between methods, a square per label budget."""
    found = [
        one
        for one in depths(aligned(findings.evidence, kind))
        if one.first.setting[:3] == place and not one.first.against.startswith("label")
    ]
    between = [one for one in found if one.first.against != SEEDS]
    if not between:
        msg = f"{name}: no pair of methods has a CKA"
        raise NothingToDraw(msg)
    present = {one.first.method for one in between} | {_other(one) for one in between}
    methods = [
        m for m in dict.fromkeys(m for m, _ in findings.looks.pairs) if m in present
    ]
    known = {one.first.label_budget for one in between}
    budgets = spread(sorted(known, key=budget_order), _BUDGETS)
    size = 1.2 + 0.36 * max(len(methods), 3)
    figure, axes = panels(len(budgets), width=size, height=size + 0.5, across=_BUDGETS)
    figure.set_layout_engine("compressed")  # squares leave no gaps
    image: Any = None
    for panel, budget in zip(axes, budgets, strict=True):
        square = _square(
            [one for one in found if one.first.label_budget == budget], methods
        )
        image = panel.imshow(square, cmap="viridis", vmin=0, vmax=1)
        panel.set_xticks(range(len(methods)), methods, rotation=90, fontsize=7.5)
        panel.set_yticks(range(len(methods)), methods, fontsize=7.5)
        panel.grid(visible=False)
        panel.set_title(budget)
        panel.label_outer()
        for i, j in np.argwhere(np.isfinite(square)):
            # Fixed colours: the square keeps its own where the page turns dark.
            colour = "white" if square[i, j] < 0.55 else "black"
            panel.text(j, i, f"{square[i, j]:.2f}", ha="center", va="center",
                       fontsize=6.5, color=colour)  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, label="mean CKA")
    bar.outline.set_visible(False)
    data = pd.DataFrame(
        [
            {"budget": one.first.label_budget, "method": one.first.method,
             "other": _other(one), "cka": one.estimate.value, "low": one.estimate.low,
             "high": one.estimate.high, "pairs": len(one.runs)}
            for one in found
        ]
    )  # fmt: skip
    _, task, protocol = place
    return Drawing(
        family=kind,
        name=name,
        title=f"One method against another: {findings.heading(task)}, {protocol}",
        caption=(
            "CKA between fine-tuned networks of two methods, mean over layers and seeds, "
            "by label budget. On the diagonal, where it was measured: the network of one "
            "seed against that of another, which is as alike as two methods can be "
            "expected to be."
        ),
        alt="; ".join(
            f"{row.method} and {row.other} at {row.budget} {row.cka:.2f}"
            for row in data.itertuples()
        ),
        figure=figure,
        task=task,
        data=data,
    )


def _other(one: Depth) -> str:
    """Return the second method; a network of another seed is of the same one."""
    if one.first.against == SEEDS:
        return one.first.method
    return one.first.against.removeprefix("method=")


def _square(found: list[Depth], methods: list[str]) -> np.ndarray:
    square = np.full((len(methods), len(methods)), np.nan)
    for one in found:
        if one.first.method in methods:
            i, j = methods.index(one.first.method), methods.index(_other(one))
            square[i, j] = square[j, i] = one.estimate.value
    return square
