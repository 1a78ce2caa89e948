"""Principal components of tokens as colours over three slices of a volume.

They are images of patients unless the task is synthetic, so a report shows them only
where it is asked to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..findings import Findings
from .drawing import Drawing, NothingToDraw, Sketch
from .first_runs import by_task, first_runs
from .style import MUTED, PLANES, bare, fit_rows, panels

KIND = "pca"
_VOLUMES = 2
_WORDS = {
    "joint": "all volumes jointly: a colour means the same in each",
    "alone": "each volume alone: colours compare within a volume only",
}


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task, of components of all volumes and of each alone."""
    return by_task(findings, KIND, _WORDS, _maps)


def _maps(findings: Findings, analysis: str, task: str, how: str, name: str) -> Drawing:
    """Draw volumes by plane (rows): the image, then each method's first run."""
    shown = first_runs(findings, KIND, analysis, task, "pca.npz")
    if not shown:
        msg = f"{name}: no published analysis keeps its colours"
        raise NothingToDraw(msg)
    first = shown[0].arrays
    cases = [str(case) for case in first["case_ids"][:_VOLUMES]]
    dims = first["images"].ndim - 1
    planes = PLANES if dims == 3 else ("",)
    across = 1 + len(shown)
    figure, axes = panels(
        len(cases) * len(planes) * across, width=1.35, height=1.4, across=across
    )
    for number, case in enumerate(cases):
        for axis, plane in enumerate(planes):
            row = number * len(planes) + axis
            own = axes[row * across : (row + 1) * across]
            picture = _slice(first["images"][number], axis if plane else None)
            _draw(own[0], picture, "image" if not row else "")
            words = f"{case}\n{plane}" if axis == 0 else plane
            own[0].set_ylabel(words, fontsize=6.5, color=MUTED)
            for panel, one in zip(own[1:], shown, strict=True):
                colours = _slice(one.arrays[how][number], axis if plane else None)
                title = findings.looks[one.pair].label if not row else ""
                _draw(panel, colours, title, picture.shape)
    fit_rows(figure, axes[::across], width=1.25, above=0.12)
    synthetic = findings.scope.tasks[task].synthetic
    whose = "Generated images." if synthetic else "These are images of patients."
    grids = {"x".join(map(str, one.arrays[how].shape[1:-1])) for one in shown}
    return Drawing(
        family=KIND,
        name=name,
        title=f"Components of tokens, {how}: {findings.heading(task)}",
        caption=(
            f"{whose} Slices through the middle of the same region, components of "
            f"{_WORDS[how]}. Black: the darker side of the first component; red, green "
            "and blue: components 2, 3 and 4. Colours of different methods do not "
            f"compare. Each method's first run; tokens: {', '.join(sorted(grids))}."
        ),
        alt=f"Slices of {len(cases)} volumes and the components of their tokens from "
        f"{len(shown)} methods: "
        + "; ".join(
            f"{one.pair[0]} {_foreground(one.arrays[how]):.0%} foreground"
            for one in shown
        ),
        figure=figure,
        data=pd.DataFrame(
            [
                {"task": task, "method": one.pair[0], "encoder": one.pair[1],
                 "case": case, "foreground": _foreground(one.arrays[how][[number]])}
                for one in shown for number, case in enumerate(cases)
            ]
        ),
        task=task,
        private=not synthetic,
    )  # fmt: skip


def _slice(volume: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the middle slice across an axis, its last axis upwards; or an image."""
    if axis is None:
        return volume
    middle = volume.take(volume.shape[axis] // 2, axis=axis)
    return np.rot90(middle)


def _foreground(colours: np.ndarray) -> float:
    return float((colours > 0).any(axis=-1).mean())


def _draw(
    axes: Any, picture: np.ndarray, title: str, sides: tuple[int, ...] | None = None
) -> None:
    """Draw grey values or colours; sides: of the image that tokens are of, (H, W)."""
    if sides is None:
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        extent = (-0.5, sides[1] - 0.5, sides[0] - 0.5, -0.5)
        axes.imshow(picture, extent=extent, interpolation="nearest")
    bare(axes, title)
