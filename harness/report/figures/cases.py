"""Distributions over test cases: boxes, and a point for every case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...analyse.compare import Comparison
from ...analyse.scores import CaseMetric
from ...schema.errors import UserError
from ..evidence import CASE_METRICS
from ..findings import Findings, Place
from ..table import LOWER_IS_BETTER, NAMES
from . import marks
from .drawing import RASTER_ABOVE, Drawing, NothingToDraw, Sketch
from .style import INK, MUTED, Looks, panels, share_y

_BUDGETS = 4  # of one figure: the smallest, the largest and two between


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per metric, task and protocol, of a panel per label budget."""
    return [
        Sketch(name, partial(case_scores, findings, metric, place, name))
        for metric in CASE_METRICS
        for place in findings.places(metric)
        for name in [f"{metric}_cases_{place.task}_{place.protocol}"]
    ]


def case_scores(
    findings: Findings, metric: CaseMetric, place: Place, name: str
) -> Drawing:
    """Draw the scores of test cases, each the mean over seeds."""
    data = findings.cases(metric, place)
    if not len(data):
        msg = f"{name}: no test case has a {NAMES[metric]}"
        raise NothingToDraw(msg)
    budgets = spread(
        [b for b in findings.budgets(place) if (data.budget == b).any()], _BUDGETS
    )
    data = data[data.budget.isin(budgets)]
    looks = findings.looks
    pairs = looks.present(zip(data.method, data.encoder, strict=True))
    figure, axes = panels(
        len(budgets), width=max(2.0, 0.62 * len(pairs) + 0.5), height=3.0
    )
    # Above this many points vector graphics grow large and slow.
    raster = len(data) > RASTER_ABOVE
    for panel, budget in zip(axes, budgets, strict=True):
        _panel(panel, data[data.budget == budget], pairs, looks, raster=raster)
        panel.set_title(budget)
    share_y(axes)
    joined = _brackets(findings, metric, place)
    for panel, budget in zip(axes, budgets, strict=True):
        marks.brackets(panel, pairs, joined.get(budget, []))
    share_y(axes)
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    axes[0].set_ylabel(f"{NAMES[metric]}, {better} is better")
    cases = data.case.nunique()
    return Drawing(
        family="cases",
        name=name,
        title=f"{NAMES[metric]} of test cases: {findings.heading(place.task)}, "
        f"{place.protocol}",
        caption=(
            f"One point per test case (n = {cases}), the mean over seeds of its mean "
            "over structures. Boxes: median and quartiles; whiskers: the furthest case "
            "within 1.5 times the quartiles' distance." + marks.WORDS * bool(joined)
        ),
        alt=_alt(data, NAMES[metric]),
        figure=figure,
        task=place.task,
        data=data.assign(task=place.task, protocol=place.protocol),
    )


def _brackets(
    findings: Findings, metric: CaseMetric, place: Place
) -> dict[str, list[Comparison]]:
    """Return the significant differences to the baseline, by label budget."""
    try:
        compared = findings.comparisons(metric, "baseline")
    except UserError:  # no baseline to compare with, which other parts say
        return {}
    found: dict[str, list[Comparison]] = {}
    for one in compared:
        if (one.task, one.protocol) == place and one.significant:
            found.setdefault(one.label_budget, []).append(one)
    return found


def _panel(
    axes: Any,
    data: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    looks: Looks,
    *,
    raster: bool,
) -> None:
    labels = [looks[pair].label for pair in pairs]
    groups = [
        data[(data.method == pair[0]) & (data.encoder == pair[1])] for pair in pairs
    ]
    line = {"color": MUTED, "linewidth": 0.9, "zorder": 3}
    axes.boxplot(
        [own.score.to_numpy(dtype=float) for own in groups],
        positions=range(len(pairs)), widths=0.62, showfliers=False, manage_ticks=False,
        boxprops=line, whiskerprops=line, capprops=line,
        medianprops={"color": INK, "linewidth": 2.0, "zorder": 3},
    )  # fmt: skip
    for number, (pair, own) in enumerate(zip(pairs, groups, strict=True)):
        y = own.score.to_numpy(dtype=float)
        axes.scatter(
            number + sideways(y, 0.27), y, s=10, color=looks[pair].colour, alpha=0.55,
            linewidths=0, marker=looks[pair].marker, rasterized=raster, zorder=2,
        )  # fmt: skip
    slant = max(map(len, labels), default=0) * len(labels) > 34
    axes.set_xticks(
        range(len(labels)), labels, rotation=35 if slant else 0,
        ha="right" if slant else "center",
    )  # fmt: skip
    axes.tick_params(axis="x", length=0)


def sideways(y: np.ndarray, reach: float) -> np.ndarray:
    """Return offsets within `reach` that keep near values apart: neighbours alternate.

    Nothing is drawn at random: equal data, equal picture.
    """
    offsets = np.zeros(len(y))
    order = np.argsort(y, kind="stable")
    # The golden ratio's multiples spread evenly, however many there are.
    turns = (np.arange(len(y)) * 0.6180339887498949) % 1.0
    offsets[order] = (turns - 0.5) * 2 * reach
    return offsets


def spread(names: Sequence[str], most: int) -> list[str]:
    """Return at most `most` of the names, first and last among them."""
    if len(names) <= most:
        return list(names)
    places = np.unique(np.linspace(0, len(names) - 1, most).round().astype(int))
    return [names[place] for place in places]


def _alt(data: pd.DataFrame, metric: str) -> str:
    return " ".join(_medians(data, metric))


def _medians(data: pd.DataFrame, metric: str) -> Iterable[str]:
    for budget, own in data.groupby("budget", sort=False):
        medians = own.groupby("method", sort=False).score.median()
        text = ", ".join(f"{method} {value:.3g}" for method, value in medians.items())
        yield f"Median {metric} at {budget}: {text}."
