"""Classification: confusion matrices and ROC curves, from test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..findings import Findings, Place, of_place
from .drawing import Drawing, NothingToDraw, Sketch
from .style import GRID, INK, MUTED, Looks, legend, panels

_FALSE = np.linspace(0, 1, 101)  # false-positive rates at which curves are averaged


def confusion_sketches(findings: Findings) -> list[Sketch]:
    """Return a figure of confusion matrices per classification task and protocol."""
    return _sketches(findings, "confusion", confusion)


def roc_sketches(findings: Findings) -> list[Sketch]:
    """Return a figure of ROC curves per classification task and protocol."""
    return _sketches(findings, "roc", roc)


def _sketches(findings: Findings, kind: str, draw: Any) -> list[Sketch]:
    return [
        Sketch(name, partial(draw, findings, place, name))
        for place in findings.places("auc")
        for name in [f"{kind}_{place.task}_{place.protocol}"]
    ]


def confusion_of(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the matrix (classes, classes) of true by predicted class, rows to sum 1.

    y: (n,) true classes; scores: (n, classes); predicted is the largest, the first of
    equals. The row of a class without cases is nan.
    """
    classes = scores.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (y, scores.argmax(axis=1)), 1)
    total = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
    return shares


def roc_of(y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return true-positive rates at the false-positive rates 0, 0.01, ... 1.

    y: (n,) true classes; scores: (n, classes). Two classes: class 1. More: the mean of
    one class against the others over the classes that occur. Nan where none is defined.
    """
    targets = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    curves = []
    for target in targets:
        positive = y == target
        if positive.all() or not positive.any():
            continue
        order = np.argsort(-scores[:, target], kind="stable")
        hits, ranked = positive[order], scores[order, target]
        # Ties fall together: only the end of a run of equal scores is a threshold.
        ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
        true = np.append(0.0, np.cumsum(hits)[ends] / hits.sum())
        false = np.append(0.0, np.cumsum(~hits)[ends] / (~hits).sum())
        curves.append(_upper(false, true))
    mean: np.ndarray = np.mean(curves or [np.full(len(_FALSE), np.nan)], axis=0)
    return mean


def _upper(false: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Interpolate a curve with vertical steps, taking their upper ends."""
    last = np.append(np.diff(false) > 0, True)
    curve: np.ndarray = np.interp(_FALSE, false[last], true[last])
    curve[0] = true[false == 0].max()
    return curve


def confusion(findings: Findings, place: Place, name: str) -> Drawing:
    """Draw a matrix per method: rows to sum 1, the mean over runs."""
    runs, budget = _runs(findings, place, name)
    classes = list(findings.scope.tasks[place.task].classes)
    looks = findings.looks
    shown = looks.present(runs)
    size = 1.1 + 0.42 * max(len(classes), 3)
    figure, axes = panels(len(shown), width=size, height=size, across=6)
    rows = []
    for panel, pair in zip(axes, shown, strict=True):
        matrices = [confusion_of(*run) for run in runs[pair]]
        mean = _mean(matrices)
        names = classes or [str(k) for k in range(len(mean))]
        _heat(panel, mean, names, first=panel is axes[0])
        panel.set_title(looks[pair].label)
        rows += [
            {"method": pair[0], "encoder": pair[1], "true": names[i],
             "predicted": names[j], "share": mean[i, j], "runs": len(matrices)}
            for i in range(len(mean)) for j in range(len(mean))
        ]  # fmt: skip
    data = pd.DataFrame(rows)
    right = data[data.true == data.predicted].groupby("method", sort=False).share.mean()
    return Drawing(
        family="classes",
        name=name,
        title=f"Confusion: {findings.heading(place.task)}, {place.protocol}, {budget}",
        caption=(
            "Share of the test cases of each true class (rows sum to 1) that are "
            f"predicted as each class; mean over {_range(runs)} runs, at {budget}."
        ),
        alt="Mean share of each class predicted right: "
        + ", ".join(f"{method} {share:.2f}" for method, share in right.items()),
        figure=figure,
        task=place.task,
        data=data.assign(task=place.task, protocol=place.protocol, budget=budget),
    )


def roc(findings: Findings, place: Place, name: str) -> Drawing:
    """Draw the mean curve of each method over its runs, with their range."""
    runs, budget = _runs(findings, place, name)
    curves = {
        pair: np.array([roc_of(*run) for run in own]) for pair, own in runs.items()
    }
    curves = {pair: c for pair, c in curves.items() if np.isfinite(c).all()}
    if not curves:
        msg = f"{name}: its test cases are all of one class"
        raise NothingToDraw(msg)
    looks = findings.looks
    figure, (axes,) = panels(1, width=3.8, height=3.6)
    data = _draw_roc(axes, curves, looks)
    legend(figure, [looks[pair] for pair in looks.present(curves)])
    classes = len(findings.scope.tasks[place.task].classes)
    kind = "" if classes <= 2 else ", one class against the others, mean over classes"
    areas = data.groupby("method", sort=False)[["false_positive", "true_positive"]]
    return Drawing(
        family="classes",
        name=name,
        title=f"ROC: {findings.heading(place.task)}, {place.protocol}, {budget}",
        caption=(
            f"Mean over {_range(runs)} runs{kind}, at {budget}; band from the lowest to "
            "the highest run. The dotted diagonal is chance."
        ),
        alt="True-positive rate at a false-positive rate of 0.2: "
        + ", ".join(
            f"{method} {own.true_positive.iloc[20]:.2f}" for method, own in areas
        ),
        figure=figure,
        task=place.task,
        data=data.assign(task=place.task, protocol=place.protocol, budget=budget),
    )


def _draw_roc(
    axes: Any, curves: dict[tuple[str, str], np.ndarray], looks: Looks
) -> pd.DataFrame:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    frames = []
    for pair in looks.present(curves):
        own, look = curves[pair], looks[pair]
        low, mid, high = own.min(axis=0), own.mean(axis=0), own.max(axis=0)
        axes.fill_between(_FALSE, low, high, color=look.colour, alpha=0.13, linewidth=0)
        axes.plot(
            _FALSE, mid, color=look.colour, linestyle=look.dashes, marker=look.marker,
            markevery=20, markersize=4.5,
        )  # fmt: skip
        frames.append(
            pd.DataFrame(
                {
                    "method": pair[0], "encoder": pair[1], "false_positive": _FALSE,
                    "true_positive": mid, "low": low, "high": high, "runs": len(own),
                }
            )
        )  # fmt: skip
    axes.set(
        xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal",
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02),
    )  # fmt: skip
    axes.grid(visible=True, axis="both")
    return pd.concat(frames)


Runs = dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]]


def _runs(findings: Findings, place: Place, name: str) -> tuple[Runs, str]:
    """Return truth and scores of every run at the largest label budget, by method."""
    budgets = findings.budgets(place)
    if not budgets:
        msg = f"{name}: none of its cells is published"
        raise NothingToDraw(msg)
    cells = of_place(findings.done, place, budgets[-1])
    rows = findings.predictions(cells)
    runs: Runs = {}
    for cell, own in rows.groupby("cell", sort=True):
        first = cells.iloc[int(cell)]
        y = own.y_true.to_numpy(dtype=np.int64)
        scores = np.array(own.scores.tolist(), dtype=float)
        runs.setdefault((first.method, first.encoder), []).append((y, scores))
    return runs, budgets[-1]


def _mean(matrices: Sequence[np.ndarray]) -> np.ndarray:
    stacked = np.stack(matrices)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _heat(axes: Any, matrix: np.ndarray, names: Sequence[str], *, first: bool) -> None:
    import seaborn

    shade = seaborn.light_palette("#33507a", as_cmap=True)
    few = len(names) <= 8
    seaborn.heatmap(
        matrix, ax=axes, vmin=0, vmax=1, cmap=shade, cbar=False, square=True,
        annot=few, fmt=".2f", linewidths=0.7, linecolor=GRID, xticklabels=list(names),
        yticklabels=list(names) if first else False, annot_kws={"size": 8},
    )  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("true" if first else "")
    axes.tick_params(length=0, labelcolor=INK)
    axes.tick_params(axis="x", rotation=40 if max(map(len, names)) > 4 else 0)
    axes.tick_params(axis="y", rotation=0)


def _range(runs: Runs) -> str:
    counts = sorted({len(own) for own in runs.values()})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
