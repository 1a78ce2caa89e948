"""Image vectors in planes of t-SNE and UMAP, a panel per method, a colour per class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..findings import Findings
from .drawing import Drawing, NothingToDraw, Sketch
from .first_runs import by_task, first_runs
from .style import MUTED, panels

KIND = "embedding"
_WORDS = {"tsne": "t-SNE", "umap": "UMAP"}
_ACROSS = 4
# Of classes, so that they are told apart without colour, too.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h", "<", ">", "p")


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task and kind of plane."""
    return by_task(findings, KIND, _WORDS, _plane)


def _plane(
    findings: Findings, analysis: str, task: str, plane: str, name: str
) -> Drawing:
    """Draw each method's first run and first plane."""
    data = _points(findings, analysis, task, plane)
    if not len(data):
        msg = f"{name}: no published analysis keeps such a plane"
        raise NothingToDraw(msg)
    pairs = findings.looks.present(zip(data.method, data.encoder, strict=True))
    figure, axes = panels(len(pairs), width=2.3, height=2.3, across=_ACROSS)
    classes = sorted(data["class"].unique())
    for panel, pair in zip(axes, pairs, strict=True):
        own = data[(data.method == pair[0]) & (data.encoder == pair[1])]
        _panel(panel, own, classes)
        panel.set_title(findings.looks[pair].label, fontsize=8.5)
    if classes != [""]:
        _legend(figure, axes[0], len(classes))
    count = len(data) // len(pairs)
    words = (
        "Colours and markers are classes. "
        if classes != [""]
        else "There are no classes. "
    )
    return Drawing(
        family=KIND,
        name=name,
        title=f"{_WORDS[plane]} of image vectors: {findings.heading(task)}",
        caption=(
            f"{_WORDS[plane]} of the vectors of the same {count} crops, from encoders "
            f"before they are adapted; each method's first run and first plane. {words}"
            "Axes have no unit, and distances between groups no meaning: the table has "
            "what was measured over several planes."
        ),
        alt=f"{_WORDS[plane]} planes of {len(pairs)} methods, {count} points each, "
        f"{len(classes)} classes.",
        figure=figure,
        data=data,
        task=task,
    )


def _points(findings: Findings, analysis: str, task: str, plane: str) -> pd.DataFrame:
    names = list(findings.scope.tasks[task].classes)
    parts = []
    for pair, arrays in first_runs(findings, KIND, analysis, task, "planes.npz"):
        if plane not in arrays:
            continue
        x = arrays[plane][0]
        said = [names[y] if 0 <= y < len(names) else "" for y in arrays["classes"]]
        parts.append(
            pd.DataFrame(
                {"task": task, "method": pair[0], "encoder": pair[1],
                 "case": arrays["case_ids"], "class": said, "x": x[:, 0], "y": x[:, 1]}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _panel(axes: Any, own: pd.DataFrame, classes: list[str]) -> None:
    import seaborn

    palette = seaborn.color_palette("colorblind").as_hex()
    for number, each in enumerate(classes):
        some = own[own["class"] == each]
        axes.scatter(
            some.x, some.y, s=11, linewidths=0, alpha=0.8, label=each,
            color=palette[number % len(palette)] if each else MUTED,
            marker=_MARKERS[number % len(_MARKERS)],
        )  # fmt: skip
    middle = own[["x", "y"]].to_numpy()
    half = 0.55 * float(np.ptp(middle, axis=0).max() or 1)
    x, y = (middle.min(axis=0) + middle.max(axis=0)) / 2
    axes.set(
        xticks=[], yticks=[], xlim=(x - half, x + half), ylim=(y - half, y + half),
        aspect="equal",
    )  # fmt: skip
    axes.grid(visible=False)


def _legend(figure: Any, axes: Any, count: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    per_row = max(1, int(figure.get_size_inches()[0] / 1.3))
    figure.legend(
        handles, labels, loc="outside lower left", ncols=min(per_row, count),
        fontsize=8, handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip
