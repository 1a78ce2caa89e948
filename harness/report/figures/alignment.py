"""CKA of layers: curves over depth, and maps of all pairs of layers."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...schema.errors import UserError
from ..alignment import SEEDS, Aligned, aligned, by_setting, layer_order
from ..findings import Findings, several
from ..table import budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import Look, legend, panels, share_y

_BUDGETS = 3
# By what two networks differ in, as `against` begins with it.
_WORDS = {"": "", "label_budget": "budgets", SEEDS: "seeds", "method": "methods"}
_TITLES = {
    "": "Feature reuse", "label_budget": "Few labels against many",
    SEEDS: "One seed against another", "method": "One method against another",
}  # fmt: skip
_SAID = {
    "": "CKA of each layer before fine-tuning with itself after it",
    "label_budget": "CKA of each layer fine-tuned with few labels with itself fine-tuned "
    "with the most",
    SEEDS: "CKA of each layer of the network of the first seed with that of another",
}


def curve_sketches(findings: Findings, kind: str) -> list[Sketch]:
    """Return a figure of CKA over depth per task, protocol and thing compared.

    What networks of different methods have in common is no curve (figures.pairs).
    """
    return [
        Sketch(name, partial(_curves, findings, kind, place, name))
        for place in compared(findings, kind)
        if place.between != "method"
        for name in [place.name(kind)]
    ]


class Compared(NamedTuple):
    """Where a figure stands. between: 'label_budget', SEEDS, 'method' or ''."""

    analysis: str
    task: str
    protocol: str
    between: str
    named: bool

    def name(self, kind: str, more: str = "") -> str:
        """Return the figure's name; the analysis is in it where there are several."""
        first = self.analysis if self.named else kind
        parts = (first, _WORDS[self.between], more, self.task, self.protocol)
        return "_".join(part for part in parts if part)

    def holds(self, one: Aligned) -> bool:
        """Tell whether a layer's CKA belongs into the figure."""
        place = one.analysis, one.task, one.protocol, one.against.partition("=")[0]
        return place == self[:4]


def compared(findings: Findings, kind: str) -> list[Compared]:
    """Return the tasks and protocols of published analyses, and what they compare."""
    try:
        found = aligned(findings.evidence, kind)
    except UserError:
        return []
    named = len({one.analysis for one in found}) > 1
    return list(
        dict.fromkeys(
            Compared(one.analysis, one.task, one.protocol,
                     one.against.partition("=")[0], named)
            for one in found
        )
    )  # fmt: skip


def _curves(findings: Findings, kind: str, place: Compared, name: str) -> Drawing:
    """Draw CKA by layer: label budgets across, a line and a band per method."""
    from .cases import spread

    found = [one for one in aligned(findings.evidence, kind) if place.holds(one)]
    data = _frame(found)
    if not len(data):
        msg = f"{name}: no layer has a CKA"
        raise NothingToDraw(msg)
    layers = sorted(data.layer.unique(), key=layer_order)
    budgets = list(dict.fromkeys(one.label_budget for one in found))
    budgets = spread(sorted(budgets, key=budget_order), _BUDGETS)
    width = max(2.6, 0.17 * len(layers) + 0.5)
    figure, axes = panels(len(budgets), width=width, height=3.0, across=_BUDGETS)
    looks = findings.looks
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    for panel, budget in zip(axes, budgets, strict=True):
        for one, some in by_setting(found):
            if one.label_budget == budget:
                _line(panel, some, layers, looks[one.method, one.encoder])
        panel.set(title=budget, xlim=(-0.5, len(layers) - 0.5))
        panel.set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    share_y(axes)
    axes[0].set_ylabel("CKA")
    legend(figure, [looks[pair] for pair in shown])
    runs = max(len(one.runs) for one in found)
    samples = min(one.samples for one in found if one.samples)
    return Drawing(
        family=kind,
        name=name,
        title=f"{_TITLES[place.between]}: {findings.heading(place.task)}, "
        f"{place.protocol}",
        caption=(
            f"{_SAID[place.between]}, by label budget ({several(budgets)}); 1 is the "
            f"same up to rotation and scale. Mean over up to {runs} runs on {samples} "
            f"crops of test cases; bands are {findings.evidence.options.level:.0%} "
            "intervals over runs and crops."
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
