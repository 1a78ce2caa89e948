"""Differences to the baseline, paired by case, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from ...analyse.compare import Comparison
from ...schema.errors import UserError
from ..findings import Findings
from ..table import DIGITS, LOWER_IS_BETTER, NAMES, Measure, budget_order
from .cases import spread
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, PAPER, Looks, panels

_PANELS = 9  # of one figure
_ROWS = 30  # of one panel; above, the smallest and the largest label budget


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per metric and protocol, of a panel per task."""
    found = []
    for metric, table in findings.means():
        for protocol in dict.fromkeys(entry.protocol for entry in table.entries):
            tasks = dict.fromkeys(
                entry.task for entry in table.entries if entry.protocol == protocol
            )
            for start in range(0, len(tasks), _PANELS):
                name = f"{metric}_differences_{protocol}"
                if start:
                    name += f"_{start // _PANELS + 1}"
                some = list(tasks)[start : start + _PANELS]
                draw = partial(differences, findings, metric, protocol, some, name)
                found.append(Sketch(name, draw))
    return found


def differences(
    findings: Findings, metric: Measure, protocol: str, tasks: Sequence[str], name: str
) -> Drawing:
    """Draw method minus baseline: rows by label budget and method, a panel per task."""
    try:
        found = findings.comparisons(metric, "baseline")
    except UserError as reason:
        msg = f"{name}: {reason}"
        raise NothingToDraw(msg) from reason
    data = frame(
        [one for one in found if one.protocol == protocol and one.task in tasks]
    )
    data = data[data.difference.notna()]
    if not len(data):
        msg = f"{name}: no method has a case in common with its baseline"
        raise NothingToDraw(msg)
    tasks = [task for task in tasks if (data.task == task).any()]
    left_out = ""
    if data.groupby("task").size().max() > _ROWS:
        budgets = spread(sorted(data.budget.unique(), key=budget_order), 2)
        data = data[data.budget.isin(budgets)]
        left_out = f" Only {' and '.join(budgets)}; tables/ holds every label budget."
    rows = int(data.groupby("task").size().max())
    figure, axes = panels(len(tasks), width=3.6, height=0.62 + 0.2 * rows, across=3)
    for panel, task in zip(axes, tasks, strict=True):
        _panel(panel, data[data.task == task], findings.looks)
        panel.set_title(findings.heading(task))
        better = "left" if metric in LOWER_IS_BETTER else "right"
        panel.set_xlabel(f"difference in {NAMES[metric]}; {better} is better")
    bases = ", ".join(dict.fromkeys(data.baseline))
    level = findings.evidence.options.level
    return Drawing(
        family="comparisons",
        name=name,
        title=f"{NAMES[metric]}, difference to {bases}: {protocol}",
        caption=(
            f"Method minus baseline, paired by case and seed, with {level:.0%} "
            f"intervals. Filled: significant at {found[0].alpha:g} after correction for "
            f"a family of {int(data.family_size.max())} tests over {found[0].unit}; "
            f"hollow: not.{left_out}"
        ),
        alt=_alt(data, metric),
        figure=figure,
        data=data,
        task=tasks[0] if len(tasks) == 1 else "",
    )


def frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return comparisons as a table, one row each."""
    rows = [
        {
            "task": one.task, "protocol": one.protocol, "budget": one.label_budget,
            "method": one.method, "encoder": one.encoder, "baseline": one.other_method,
            "baseline_encoder": one.other_encoder, "difference": one.difference,
            "low": one.low, "high": one.high, "n": one.n, "p": one.p,
            "adjusted": one.adjusted, "family_size": one.family_size,
            "significant": one.significant, "result": one.sentence,
        }
        for one in comparisons
    ]  # fmt: skip
    columns = None if rows else ["task", "difference"]
    return pd.DataFrame(rows, columns=columns)


def _panel(axes: Any, data: pd.DataFrame, looks: Looks) -> None:
    budgets = sorted(data.budget.unique(), key=budget_order)
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    ticks, labels, y = [], [], 0.0
    for budget in budgets:
        for pair in shown:
            own = data[
                (data.budget == budget)
                & (data.method == pair[0])
                & (data.encoder == pair[1])
            ]
            for row in own.itertuples():
                _mark(axes, row, y, looks[pair])
                ticks.append(y)
                labels.append(f"{looks[pair].label}  {budget}")
                y -= 1.0
        y -= 0.5
    axes.axvline(0, color=MUTED, linewidth=0.9)
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y + 0.9, 0.6)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)


def _mark(axes: Any, row: Any, y: float, look: Any) -> None:
    if row.low is not None and pd.notna(row.low):
        axes.plot([row.low, row.high], [y, y], color=look.colour, linewidth=1.4)
    face = look.colour if row.significant else PAPER
    axes.plot(
        [row.difference], [y], marker=look.marker, color=look.colour,
        markerfacecolor=face, linestyle="none",
    )  # fmt: skip


def _alt(data: pd.DataFrame, metric: Measure) -> str:
    digits = DIGITS[metric]
    words = [
        f"{row.method} on {row.task} at {row.budget} {row.difference:+.{digits}f}"
        for row in data.head(24).itertuples()
    ]
    more = f" and {len(data) - 24} more" if len(data) > 24 else ""
    return f"Difference to the baseline: {'; '.join(words)}{more}."
