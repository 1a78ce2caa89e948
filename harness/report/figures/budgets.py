"""Label-budget curves: the mean against the number of labelled cases, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from ..findings import Findings
from ..table import DIGITS, LOWER_IS_BETTER, NAMES, Block, Table, budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import Look, Looks, legend, panels

_PANELS = 12  # of one figure; more tasks make more figures


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per metric and protocol, of a panel per task."""
    found = []
    for metric, table in findings.means():
        by_protocol: dict[str, list[Block]] = {}
        for block in table.blocks():
            protocol = _protocol(block)
            by_protocol.setdefault(protocol, []).append(block)
        for protocol, blocks in by_protocol.items():
            for start in range(0, len(blocks), _PANELS):
                name = f"{metric}_by_budget"
                if len(by_protocol) > 1:
                    name += f"_{protocol}"
                if start:
                    name += f"_{start // _PANELS + 1}"
                some = blocks[start : start + _PANELS]
                draw = partial(budget_curves, table, some, findings.looks, name)
                found.append(Sketch(name, draw))
    return found


def _protocol(block: Block) -> str:
    return next(iter(block.entries.values())).protocol


def budget_curves(
    table: Table, blocks: Sequence[Block], looks: Looks, name: str
) -> Drawing:
    """Draw means with their intervals against the label budget, a panel per task."""
    rows = [
        {
            "task": e.task, "protocol": e.protocol, "method": e.method,
            "encoder": e.encoder, "budget": e.budget, "mean": e.mean, "low": e.low,
            "high": e.high, "cases": e.cases, "seeds": e.seeds,
        }
        for block in blocks
        for e in block.entries.values()
        if e.mean is not None
    ]  # fmt: skip
    if not rows:
        msg = f"{name}: no {NAMES[table.metric]} has a value yet"
        raise NothingToDraw(msg)
    data = pd.DataFrame(rows)
    figure, axes = panels(len(blocks))
    for panel, block in zip(axes, blocks, strict=True):
        own = data[data.task == next(iter(block.entries.values())).task]
        _panel(panel, own, sorted(block.budgets, key=budget_order), looks)
        panel.set_title(block.heading.rsplit(", ", 1)[0])
    better = "lower" if table.metric in LOWER_IS_BETTER else "higher"
    axes[0].set_ylabel(f"{NAMES[table.metric]}, {better} is better")
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    legend(figure, [looks[pair] for pair in shown])
    protocol = _protocol(blocks[0])
    return Drawing(
        family="budgets",
        name=name,
        title=f"{NAMES[table.metric]} by label budget, {protocol}",
        caption=(
            f"Mean {NAMES[table.metric]} of each method by labelled training cases. "
            f"Bands and bars: {table.level:.0%} intervals, as in the table. "
            "Points are set apart sideways so that they can be told apart."
        ),
        alt=_alt(data, table),
        figure=figure,
        data=data,
    )


def _panel(axes: Any, data: pd.DataFrame, budgets: Sequence[str], looks: Looks) -> None:
    """Draw one task: label budgets on a categorical axis, methods side by side."""
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    step = min(0.09, 0.5 / max(len(shown), 1))
    for number, pair in enumerate(shown):
        own = data[(data.method == pair[0]) & (data.encoder == pair[1])]
        own = own.assign(place=[budgets.index(budget) for budget in own.budget])
        own = own.sort_values("place")
        shift = (number - (len(shown) - 1) / 2) * step
        _line(axes, own, own.place + shift, looks[pair])
    axes.set_xticks(range(len(budgets)), budgets)
    axes.set_xlim(-0.4, len(budgets) - 0.6)
    axes.set_xlabel("labelled training cases")


def _line(axes: Any, own: pd.DataFrame, x: pd.Series, look: Look) -> None:
    low = own.low.astype(float).fillna(own["mean"])
    high = own.high.astype(float).fillna(own["mean"])
    if len(own) > 1:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    # Two artists where errorbar makes five: a matrix has hundreds of these lines.
    axes.vlines(x, low, high, color=look.colour, linewidth=0.9)
    axes.plot(
        x, own["mean"], color=look.colour, marker=look.marker, linestyle=look.dashes
    )


def _alt(data: pd.DataFrame, table: Table) -> str:
    digits = DIGITS[table.metric]
    sentences = []
    for (task, budget), own in data.groupby(["task", "budget"], sort=False):
        numbers = [
            f"{row.method} {row.mean:.{digits}f}"
            for row in own[["method", "mean"]].itertuples()
        ]
        sentences.append(f"{task} at {budget}: {', '.join(numbers)}.")
    return " ".join(sentences[:12])
