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

from ..attention import STATES, State
from ..attention_maps import AUC, FILE, KIND, Looking, looking
from ..findings import Findings
from ..table import budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, PLANES, bare, fit_rows, panels

_CASES = 2
_ALPHA = 0.55
_COLOURS = "viridis"


_Key = tuple[tuple[str, str], State]  # method and encoder


class _Shown(NamedTuple):
    one: Looking
    arrays: Mapping[str, np.ndarray]


def sketches(findings: Findings) -> list[Sketch]:
    """Return figures of the first cases per entry, task and protocol."""
    nodes = findings.evidence.features.nodes(KIND)
    places = dict.fromkeys(zip(nodes.analysis, nodes.task, nodes.protocol, strict=True))
    return [
        Sketch(name, partial(_maps, findings, place, number, name))
        for place in places
        for number in range(_CASES)
        for name in ["_".join((*place, str(number + 1)))]
    ]


def _maps(
    findings: Findings, place: tuple[str, str, str], number: int, name: str
) -> Drawing:
    """Draw a case by plane and state (rows): the image, then each method's first run."""
    _, task, protocol = place
    budget, shown = _shown(findings, place)
    first = next(iter(shown.values())).arrays
    if f"{number}_0_image" not in first:
        msg = f"{name}: the analysis keeps slices of {number} cases: raise its pictures"
        raise NothingToDraw(msg)
    case = str(first["cases"][number])
    pairs = list(dict.fromkeys(pair for pair, _ in shown))
    planes = PLANES if f"{number}_1_image" in first else ("",)
    turns = int(len(planes) > 1)  # a volume's last axis runs upwards
    rows = [(axis, state) for axis in range(len(planes)) for state in STATES]
    across = 1 + len(pairs)
    figure, axes = panels(len(rows) * across, width=1.6, height=1.65, across=across)
    for row, (axis, state) in enumerate(rows):
        own = axes[row * across : (row + 1) * across]
        image = np.rot90(first[f"{number}_{axis}_image"], k=turns)
        mask = first.get(f"{number}_{axis}_mask")
        mask = None if mask is None else np.rot90(mask, k=turns)
        _draw(own[0], image, mask, "image" if not row else "")
        label = f"{planes[axis]}\n{state}" if planes[axis] else state
        own[0].set_ylabel(label, fontsize=7, color=MUTED)
        for panel, pair in zip(own[1:], pairs, strict=True):
            head = f"{findings.looks[pair].label}\n" if not row else ""
            found = shown.get((pair, state))
            if found is None:
                _draw(panel, image, mask, f"{head}not published")
                continue
            values = found.arrays[f"{state}.{number}_{axis}"].astype(np.float64)
            said = f"{head}{values.min():.2f} to {values.max():.2f}"
            _draw(panel, image, mask, said, np.rot90(values, k=turns))
    fit_rows(figure, axes[::across], width=1.6, above=0.3)
    _bar(figure, axes)
    synthetic = findings.scope.tasks[task].synthetic
    whose = "Generated images." if synthetic else "These are images of patients."
    data = _data(shown, number).assign(
        task=task, protocol=protocol, budget=budget, case=case
    )
    return Drawing(
        family=KIND,
        name=name,
        title=f"Attention of class tokens in case {case}: {findings.heading(task)}, "
        f"{protocol}, {budget}",
        caption=(
            f"{whose} Slices through the centre of what is labelled (red line), else "
            "through the most attended voxel of the first method; the mean over heads, "
            "before and after fine-tuning, of each method's first run; n = 1 case, chosen "
            "by a hash of its id. Colours run from the least to the most attention of each "
            "slice, which stand above it: 1 is even attention, so that a slice from 0.99 "
            "to 1.01 shows almost nothing, whatever its colours."
        ),
        alt=_alt(data),
        figure=figure,
        data=data,
        task=task,
        private=not synthetic,
    )


def _data(shown: Mapping[_Key, _Shown], number: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": pair[0], "encoder": pair[1], "state": state,
             "auc": float(each.arrays[f"{state}.{AUC}"][number, 0])}
            for (pair, state), each in shown.items()
        ]
    )  # fmt: skip


def _shown(
    findings: Findings, place: tuple[str, str, str]
) -> tuple[str, Mapping[_Key, _Shown]]:
    """Return the largest label budget, and what is shown by method and state."""
    some = [
        one for one in looking(findings.evidence)
        if (one.analysis, one.task, one.protocol) == place
    ]  # fmt: skip
    budgets = {one.label_budget for one in some} - {""}
    last = max(budgets, key=budget_order)
    found: dict[_Key, _Shown] = {}
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
        axes.imshow(values, cmap=_COLOURS, interpolation="nearest", alpha=_ALPHA)
    if mask is not None and mask.any():
        axes.contour(mask, levels=[0.5], colors="#e34948", linewidths=0.8)
    bare(axes, title)


def _bar(figure: Any, axes: Sequence[Any]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, 1), cmap=_COLOURS)
    bar = figure.colorbar(
        scale,
        ax=list(axes),
        shrink=0.3,
        pad=0.02,
        label="from least to most of the slice",
    )
    bar.outline.set_visible(False)


def _alt(data: pd.DataFrame) -> str:
    if data.auc.isna().all():
        return f"Maps of {data.method.nunique()} methods; no masks to compare with."
    means = data.groupby(["method", "state"], sort=False).auc.mean()
    return "Mean AUC of attention inside the structures shown: " + "; ".join(
        f"{method} {state} {value:.2f}" for (method, state), value in means.items()
    )
