"""Entropy of attention by stage, before fine-tuning and with each label budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...schema.errors import UserError
from ..alignment import layer_order
from ..attention import ENTROPY, SPREAD, Attended, attended
from ..findings import Findings
from ..table import budget_order
from .cases import spread
from .drawing import Drawing, NothingToDraw, Sketch
from .style import legend, panels, share_y

_BUDGETS = 2  # beside the encoder before fine-tuning
_ROWS = (
    (ENTROPY, "entropy, mean over heads"), (SPREAD, "entropy, sd over heads"),
)  # fmt: skip
_Place = tuple[str, str, str]  # analysis, task, protocol


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task and protocol."""
    try:
        found = attended(findings.evidence)
    except UserError:
        return []
    places = dict.fromkeys((one.analysis, one.task, one.protocol) for one in found)
    named = len({place[0] for place in places}) > 1
    return [
        Sketch(name, partial(_stages, findings, place, name))
        for place in places
        for name in ["_".join([place[0] if named else "attention", *place[1:]])]
    ]


def _stages(findings: Findings, place: _Place, name: str) -> Drawing:
    """Draw mean and spread over heads (rows) of stages; before and after (columns)."""
    found = [
        one for one in attended(findings.evidence)
        if (one.analysis, one.task, one.protocol) == place
    ]  # fmt: skip
    level = findings.evidence.options.level
    data = _frame(found, level)
    if not len(data):
        msg = f"{name}: no stage has an entropy"
        raise NothingToDraw(msg)
    stages = sorted(data.stage.unique(), key=layer_order)
    budgets = sorted(filter(None, data.budget.unique()), key=budget_order)
    columns = ["", *spread(budgets, _BUDGETS)]
    columns = [budget for budget in columns if (data.budget == budget).any()]
    width = max(2.4, 0.45 * len(stages) + 0.8)
    figure, axes = panels(
        2 * len(columns), width=width, height=2.3, across=len(columns)
    )
    shown = findings.looks.present(zip(data.method, data.encoder, strict=True))
    for row, (quantity, label) in enumerate(_ROWS):
        own = axes[row * len(columns) : (row + 1) * len(columns)]
        for panel, budget in zip(own, columns, strict=True):
            some = data[(data.budget == budget) & (data.quantity == quantity)]
            _panel(panel, some, stages, shown, findings)
            if row == 0:
                panel.set_title(budget or "before fine-tuning")
        share_y(own)
        own[0].set_ylabel(label)
    legend(figure, [findings.looks[pair] for pair in shown], lines=False)
    _, task, protocol = place
    return Drawing(
        family="attention",
        name=name,
        title=f"Entropy of attention: {findings.heading(task)}, {protocol}",
        caption=(
            "Entropy of each query's attention as a share of the largest possible, by "
            "stage: above the mean over heads, below their standard deviation; before "
            "fine-tuning and after it, by label budget. Bars are "
            f"{level:.0%} intervals over runs and batches of crops; methods stand beside "
            "each other within a stage. Stages with fewer than 8 keys per query are left "
            "out."
        ),
        alt=_alt(data),
        figure=figure,
        task=task,
        data=data,
    )


def _frame(found: Sequence[Attended], level: float) -> pd.DataFrame:
    rows = []
    for one in found:
        for quantity, _ in _ROWS:
            known = one.estimate(quantity, level=level)
            if known is not None:
                rows.append(
                    {"analysis": one.analysis, "task": one.task,
                     "protocol": one.protocol, "method": one.method,
                     "encoder": one.encoder, "state": one.state,
                     "budget": one.label_budget, "stage": one.stage,
                     "quantity": quantity, "value": known.value, "low": known.low,
                     "high": known.high, "runs": len(one.runs), "heads": one.heads}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _panel(
    axes: Any,
    some: pd.DataFrame,
    stages: Sequence[str],
    shown: Sequence[tuple[str, str]],
    findings: Findings,
) -> None:
    """Draw a point with its interval per method and stage, side by side."""
    step = min(0.14, 0.8 / max(1, len(shown)))
    for place, pair in enumerate(shown):
        own = some[(some.method == pair[0]) & (some.encoder == pair[1])]
        if not len(own):
            continue
        look = findings.looks[pair]
        aside = (place - (len(shown) - 1) / 2) * step
        x = np.array([stages.index(stage) for stage in own.stage]) + aside
        ends = own[["low", "high"]].astype(float)
        away = np.abs(ends.to_numpy().T - own.value.to_numpy())
        axes.errorbar(
            x, own.value, yerr=np.nan_to_num(away), color=look.colour,
            marker=look.marker, linestyle="none", markersize=4.5, elinewidth=1.1,
        )  # fmt: skip
    axes.set_xticks(range(len(stages)), stages, fontsize=8)
    axes.set_xlim(-0.5, len(stages) - 0.5)
    if len(stages) > 5:
        axes.tick_params("x", labelrotation=90)


def _alt(data: pd.DataFrame) -> str:
    before = data[data.quantity == ENTROPY]
    means = before.groupby(["budget", "method"], sort=False).value.mean()
    return "Entropy of attention, mean over stages: " + "; ".join(
        f"{method} {f'at {budget}' if budget else 'before fine-tuning'} {value:.3f}"
        for (budget, method), value in means.items()
    )
