"""CKA of layers: curves over depth, and maps of all pairs of layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...schema.errors import UserError
from ..alignment import Aligned, aligned, by_setting, layer_order
from ..findings import Findings, Place, several
from .drawing import Drawing, NothingToDraw, Sketch
from .style import Look, legend, panels, share_y

_BUDGETS = 3


def curve_sketches(findings: Findings) -> list[Sketch]:
    """Return a figure of reuse over depth per task and protocol."""
    try:
        nodes = findings.evidence.features.nodes("reuse")
    except UserError:
        return []
    places = dict.fromkeys(zip(nodes.analysis, nodes.task, nodes.protocol, strict=True))
    named = len({analysis for analysis, _, _ in places}) > 1
    return [
        Sketch(name, partial(_curves, findings, analysis, Place(task, protocol), name))
        for analysis, task, protocol in places
        for name in [f"{analysis if named else 'reuse'}_{task}_{protocol}"]
    ]


def _curves(findings: Findings, analysis: str, place: Place, name: str) -> Drawing:
    """Draw CKA before against after by layer: label budgets across, a line a method."""
    from .cases import spread

    found = [
        one for one in aligned(findings.evidence, "reuse")
        if (one.analysis, one.task, one.protocol) == (analysis, *place)
    ]  # fmt: skip
    data = _frame(found)
    if not len(data):
        msg = f"{name}: no layer has a CKA"
        raise NothingToDraw(msg)
    layers = sorted(data.layer.unique(), key=layer_order)
    budgets = spread(list(dict.fromkeys(one.label_budget for one in found)), _BUDGETS)
    width = max(2.6, 0.2 * len(layers) + 0.5)
    figure, axes = panels(len(budgets), width=width, height=2.9, across=_BUDGETS)
    looks = findings.looks
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    for panel, budget in zip(axes, budgets, strict=True):
        for one, some in by_setting(found):
            if one.label_budget == budget:
                _line(panel, some, layers, looks[one.method, one.encoder])
        panel.set(title=budget, xlabel="layer")
        panel.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    share_y(axes)
    axes[0].set_ylabel("CKA before and after")
    legend(figure, [looks[pair] for pair in shown])
    runs = max(len(one.runs) for one in found)
    samples = min(one.samples for one in found if one.samples)
    return Drawing(
        family="reuse",
        name=name,
        title=f"Feature reuse: {findings.heading(place.task)}, {place.protocol}",
        caption=(
            "CKA of each layer before fine-tuning with itself after it, by label budget "
            f"({several(budgets)}); 1 is unchanged up to rotation and scale. Mean over up "
            f"to {runs} runs on {samples} crops of test cases; bands are "
            f"{findings.evidence.options.level:.0%} intervals over runs and crops."
        ),
        alt=_alt(found),
        figure=figure,
        task=place.task,
        data=data,
    )


def _frame(found: list[Aligned]) -> pd.DataFrame:
    rows = [
        {
            "analysis": one.analysis, "task": one.task, "protocol": one.protocol,
            "method": one.method, "encoder": one.encoder, "budget": one.label_budget,
            "against": one.against, "layer": one.layer, "cka": one.estimate.value,
            "low": one.estimate.low, "high": one.estimate.high, "runs": len(one.runs),
            "crops": one.samples,
        }
        for one in found
        if one.estimate is not None
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _line(axes: Any, some: list[Aligned], layers: list[str], look: Look) -> None:
    """Draw one method over the layers, with its band where there is an interval."""
    known = [(layers.index(one.layer), one.estimate) for one in some if one.estimate]
    x = np.array([place for place, _ in known], dtype=float)
    y = np.array([each.value for _, each in known])
    ends = [(each.low, each.high) for _, each in known]
    low, high = (np.array(end, dtype=float) for end in zip(*ends, strict=True))
    axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
    axes.plot(x, y, color=look.colour, linestyle=look.dashes, marker=look.marker,
              markersize=4)  # fmt: skip


def _alt(found: list[Aligned]) -> str:
    parts = []
    for one, some in by_setting(found):
        known = [each.estimate.value for each in some if each.estimate is not None]
        if known:
            low, high = min(known), max(known)
            parts.append(f"{one.method} at {one.label_budget} {low:.2f} to {high:.2f}")
    return f"Lowest and highest CKA over layers: {'; '.join(parts)}"
