"""Attention of class tokens over three slices of test cases.

They are images of patients unless the task is synthetic, so a report shows them only
where it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..attention_maps import AUC, FILE, KIND, Looking, looking
from ..findings import Findings
from ..table import budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, panels

_CASES = 2
_PLANES = ("sagittal", "coronal", "axial")  # across the first, second and third axis
_ALPHA = 0.6  # of the largest attention; the least is transparent
_COLOURS = "viridis"


class _Shown(NamedTuple):
    one: Looking
    arrays: Mapping[str, np.ndarray]


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per entry, task and protocol."""
    features = findings.evidence.features
    if KIND not in features.kinds:
        return []
    nodes = features.nodes(KIND)
    places = dict.fromkeys(zip(nodes.analysis, nodes.task, nodes.protocol, strict=True))
    return [
        Sketch(name, partial(_maps, findings, place, name))
        for place in places
        for name in ["_".join(place)]
    ]


def _maps(findings: Findings, place: tuple[str, str, str], name: str) -> Drawing:
    """Draw cases by plane and state (rows): the image, then each method's first run."""
    _, task, protocol = place
    budget, shown = _shown(findings, place)
    first = next(iter(shown.values())).arrays
    cases = [
        str(case) for number, case in enumerate(first["cases"][:_CASES])
        if f"{number}_0_image" in first
    ]  # fmt: skip
    if not cases:
        msg = f"{name}: the analysis keeps no slices: set its pictures to 1 or more"
        raise NothingToDraw(msg)
    pairs = list(dict.fromkeys(pair for pair, _ in shown))
    planes = _PLANES if "0_1_image" in first else ("",)
    rows = [(n, p, s) for n in range(len(cases)) for p in range(len(planes))
            for s in ("before", "after")]  # fmt: skip
    across = 1 + len(pairs)
    figure, axes = panels(len(rows) * across, width=1.5, height=1.45, across=across)
    for row, (number, plane, state) in enumerate(rows):
        own = axes[row * across : (row + 1) * across]
        turns = int(len(planes) > 1)  # a volume's last axis runs upwards
        image = np.rot90(first[f"{number}_{plane}_image"], k=turns)
        mask = first.get(f"{number}_{plane}_mask")
        mask = None if mask is None else np.rot90(mask, k=turns)
        _draw(own[0], image, mask, "image" if not row else "")
        label = f"{cases[number]}\n{planes[plane]}, {state}".replace("\n, ", "\n")
        own[0].set_ylabel(label, fontsize=6.5, color=MUTED)
        for panel, pair in zip(own[1:], pairs, strict=True):
            found = shown.get((pair, state))
            title = findings.looks[pair].label if not row else ""
            values = None
            if found is not None:
                values = np.rot90(found.arrays[f"{state}.{number}_{plane}"], k=turns)
            _draw(panel, image, mask, title, values)
    _bar(figure, axes)
    synthetic = findings.scope.tasks[task].synthetic
    whose = "Generated images." if synthetic else "These are images of patients."
    data = pd.DataFrame(
        [
            {"task": task, "protocol": protocol, "budget": budget, "state": state,
             "method": pair[0], "encoder": pair[1], "case": case,
             "auc": float(each.arrays[f"{state}.{AUC}"][number, 0])}
            for (pair, state), each in shown.items()
            for number, case in enumerate(cases)
        ]
    )  # fmt: skip
    return Drawing(
        family=KIND,
        name=name,
        title=f"Attention of class tokens: {findings.heading(task)}, {protocol}, {budget}",
        caption=(
            f"{whose} Slices through the centre of what is labelled (white line), else "
            "through the most attended voxel; the mean over heads, before and after "
            f"fine-tuning, of each method's first run; n = {len(cases)} cases, chosen by a "
            "hash of their ids. Colours run from 0 to each map's own largest value: they "
            "say where, not how much."
        ),
        alt=_alt(data),
        figure=figure,
        data=data,
        task=task,
        private=not synthetic,
    )


def _shown(
    findings: Findings, place: tuple[str, str, str]
) -> tuple[str, dict[tuple[tuple[str, str], str], _Shown]]:
    """Return the largest label budget, and what is shown by method and state."""
    some = [
        one for one in looking(findings.evidence)
        if (one.analysis, one.task, one.protocol) == place
    ]  # fmt: skip
    budgets = {one.label_budget for one in some} - {""}
    last = max(budgets, key=budget_order)
    found = {}
    pairs = findings.looks.present((one.method, one.encoder) for one in some)
    for pair in pairs:
        for one in some:
            if (one.method, one.encoder) == pair and one.label_budget in ("", last):
                arrays = findings.evidence.features.arrays(one.node, FILE)
                found[pair, one.state] = _Shown(one, arrays)
    return last, found


def _draw(
    axes: Any,
    image: np.ndarray,
    mask: np.ndarray | None,
    title: str,
    values: np.ndarray | None = None,
) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if values is not None:
        axes.imshow(
            values, cmap=_COLOURS, vmin=0, vmax=255, interpolation="nearest",
            alpha=_ALPHA * values / 255,
        )  # fmt: skip
    if mask is not None and mask.any():
        axes.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_title(title, fontsize=8, loc="center", fontweight="normal")


def _bar(figure: Any, axes: Sequence[Any]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, 1), cmap=_COLOURS)
    bar = figure.colorbar(
        scale, ax=list(axes), shrink=0.3, pad=0.02, label="share of the map's largest"
    )
    bar.outline.set_visible(False)


def _alt(data: pd.DataFrame) -> str:
    if data.auc.isna().all():
        return f"Maps of {data.method.nunique()} methods; no masks to compare with."
    means = data.groupby(["method", "state"], sort=False).auc.mean()
    return "Mean AUC of attention inside the structures shown: " + "; ".join(
        f"{method} {state} {value:.2f}" for (method, state), value in means.items()
    )
