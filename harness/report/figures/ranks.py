"""Rankings: the rank of every method on every task, and critical differences."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...analyse.friedman import TASKS, CriticalDifference, critical_difference
from ...analyse.ranks import Ranking, ranking
from ...schema.errors import UserError
from ..findings import Findings
from ..table import NAMES, Measure
from .drawing import Drawing, NothingToDraw, Sketch
from .style import GRID, INK, MUTED, Looks, panels

_ROWS = 40  # of a heat map; above, protocols and budgets of a task are averaged
_LETTER = 0.085  # inches that a letter of a row's name takes, at most


def sketches(findings: Findings) -> list[Sketch]:
    """Return a heat map of ranks per metric; from five tasks up, critical differences."""
    found = []
    for metric, _ in findings.means():
        name = f"{metric}_ranks"
        found.append(Sketch(name, partial(rank_map, findings, metric, name)))
        tasks = {place.task for place in findings.places(metric)}
        if len(tasks) >= TASKS and len(findings.looks.pairs) >= 3:
            name = f"{metric}_critical_differences"
            found.append(Sketch(name, partial(diagram, findings, metric, name)))
    return found


def rank_map(findings: Findings, metric: Measure, name: str) -> Drawing:
    """Draw ranks of methods (columns) on tasks with a protocol and a budget (rows)."""
    try:
        blocks = findings.blocks(metric)
        merged = len(blocks.blocks) > _ROWS
        if merged:
            blocks = blocks.by_task()
        found = ranking(blocks, level=findings.evidence.options.level)
    except UserError as reason:
        msg = f"{name}: {reason}"
        raise NothingToDraw(msg) from reason
    if len(found.methods) < 2:
        msg = f"{name}: one method cannot be ranked"
        raise NothingToDraw(msg)
    order = np.argsort(found.rank, kind="stable")
    rows, columns = found.of_block.shape
    height = 0.9 + 0.26 * (rows + 1)
    # Names of rows are as long as a task, a protocol and a budget together.
    margin = max(2.6, 0.6 + _LETTER * max(map(len, _names(found))))
    figure, (axes,) = panels(1, width=margin + 0.62 * columns, height=height)
    _heat(axes, found, order, findings.looks)
    what = "task with a protocol and a label budget"
    if merged:
        what = "task, by its mean over protocols and label budgets"
    left_out = f" {'; '.join(found.left_out)}." if found.left_out else ""
    return Drawing(
        family="ranks",
        name=name,
        title=f"Ranks by {NAMES[metric]}",
        caption=(
            f"Rank of each method on each {what}, 1 the best, ties shared; at the top "
            f"the mean rank, by which columns are sorted.{left_out}"
        ),
        alt="Mean ranks: "
        + ", ".join(
            f"{findings.looks[found.methods[m]].label} {found.rank[m]:.2f}"
            for m in order
        ),
        figure=figure,
        data=_frame(found),
    )


def _frame(found: Ranking) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "task": block[0], "protocol": block[1], "budget": block[2],
                "method": pair[0], "encoder": pair[1], "rank": found.of_block[k, m],
                "mean_rank": found.rank[m], "low": found.low[m], "high": found.high[m],
            }
            for k, block in enumerate(found.blocks)
            for m, pair in enumerate(found.methods)
        ]
    )  # fmt: skip


def _names(found: Ranking) -> list[str]:
    """Return what stands beside each row."""
    return ["mean rank", *(" ".join(b).replace(" * *", "") for b in found.blocks)]


def _heat(axes: Any, found: Ranking, order: np.ndarray, looks: Looks) -> None:
    import seaborn

    shade = seaborn.light_palette("#33507a", as_cmap=True, reverse=True)
    values = np.vstack([found.rank[order], found.of_block[:, order]])
    texts = [[f"{v:.2f}" for v in values[0]]]
    texts += [[f"{v:g}" for v in row] for row in values[1:]]
    # seaborn draws once before the labels are turned, when there may be no room for them.
    figure = axes.figure
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")
    seaborn.heatmap(
        values, ax=axes, vmin=1, vmax=max(len(order), 2), cmap=shade, cbar=False,
        annot=np.array(texts), fmt="", linewidths=0.7, linecolor=GRID,
        annot_kws={"size": 8}, yticklabels=_names(found),
        xticklabels=[looks[found.methods[m]].label for m in order],
    )  # fmt: skip
    figure.set_layout_engine(layout)
    axes.axhline(1, color=INK, linewidth=1.2)
    axes.tick_params(length=0, labelcolor=INK, labeltop=True, labelbottom=False)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=30)


def diagram(findings: Findings, metric: Measure, name: str) -> Drawing:
    """Draw methods on an axis of mean ranks; bars join those that do not differ."""
    try:
        found = critical_difference(
            findings.blocks(metric), alpha=findings.evidence.options.alpha
        )
    except UserError as reason:
        msg = f"{name}: {reason}"
        raise NothingToDraw(msg) from reason
    count = len(found.methods)
    height = 0.9 + 0.17 * count + 0.13 * len(found.cliques)
    figure, (axes,) = panels(1, width=6.4, height=height)
    _axis(axes, found, findings.looks)
    rows = [
        {"method": m[0], "encoder": m[1], "mean_rank": found.rank[place],
         "cliques": " ".join(str(k + 1) for k, (a, b) in enumerate(found.cliques)
                             if a <= place <= b)}
        for place, m in enumerate(found.methods)
    ]  # fmt: skip
    reach = "" if found.reachable else " With so few tasks no pair can differ at all."
    return Drawing(
        family="ranks",
        name=name,
        title=f"Critical differences by {NAMES[metric]}",
        caption=(
            f"Mean ranks over {len(found.tasks)} tasks, 1 the best. Bars join methods of "
            f"which no pair differs at {found.alpha:g} (Wilcoxon over tasks, Holm). "
            f"Friedman's test: p = {found.p:.3g}. Nemenyi's critical difference would be "
            f"{found.nemenyi:.2f} ranks; it depends on which other methods there are."
            + reach
        ),
        alt="In order of mean rank: "
        + ", ".join(f"{row['method']} {row['mean_rank']:.2f}" for row in rows),
        figure=figure,
        data=pd.DataFrame(rows),
    )


def _axis(axes: Any, found: CriticalDifference, looks: Looks) -> None:
    count = len(found.methods)
    bars = len(found.cliques)
    axes.set(xlim=(0.2, count + 0.8), ylim=(-bars - count / 2 - 1.5, 0.6), yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, count + 1))
    axes.grid(visible=False)
    for number, (first, last) in enumerate(found.cliques):
        y = -0.7 - number
        ends = [found.rank[first] - 0.06, found.rank[last] + 0.06]
        axes.plot(ends, [y, y], color=INK, linewidth=3, solid_capstyle="butt")
    half = (count + 1) // 2
    for place, pair in enumerate(found.methods):
        look, rank = looks[pair], float(found.rank[place])
        left = place < half
        down = place if left else count - 1 - place
        y = -bars - 1.2 - down
        x = 0.35 if left else count + 0.65
        axes.plot([rank, rank, x], [0.5, y, y], color=MUTED, linewidth=0.8, zorder=1)
        axes.plot([rank], [0.5], marker=look.marker, color=look.colour, clip_on=False)
        axes.text(
            x, y + 0.12, f"{look.label}  {rank:.2f}", color=INK, fontsize=8.5,
            ha="left" if left else "right", va="bottom",
        )  # fmt: skip
