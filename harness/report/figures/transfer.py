"""Rank correlations of quantities with scores, one panel per task and protocol."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from ...schema.errors import UserError
from ..findings import Findings
from ..transfer import ALL_TASKS, Predictors
from .drawing import Drawing, NothingToDraw, Sketch
from .style import INK, MUTED, panels

_PANELS = 6


def sketches(findings: Findings) -> list[Sketch]:
    """Return the figure of all correlations, where the analysis is published."""
    try:
        findings.evidence.features.nodes("transfer")
    except UserError:
        return []
    return [Sketch("transfer", partial(correlations, findings))]


def correlations(findings: Findings) -> Drawing:
    """Draw Spearman's coefficient of each quantity with its intervals."""
    try:
        answers = Predictors(findings.evidence).answers()
    except UserError as error:
        raise NothingToDraw(str(error)) from error
    data = pd.DataFrame(
        [
            {
                "task": one.task, "protocol": one.protocol,
                "quantity": one.quantity.head, "spearman": one.found.spearman.value,
                **_ends("methods", one.found.spearman.over_methods),
                **_ends("scores", one.found.spearman.over_scores),
                "kendall": one.found.kendall.value,
                "methods": len(one.found.methods), "cells": one.found.cells,
            }
            for one in answers
            if one.found.spearman.value is not None
        ]
    )  # fmt: skip
    if not len(data):
        msg = "transfer: no quantity is known of four methods that differ in it"
        raise NothingToDraw(msg)
    places = list(data.groupby(["task", "protocol"], sort=False))[:_PANELS]
    names = list(dict.fromkeys(data.quantity))
    figure, axes = panels(
        len(places), width=3.4, height=0.28 * len(names) + 1.1, across=3
    )
    for number, (panel, ((task, protocol), own)) in enumerate(
        zip(axes, places, strict=True)
    ):
        _panel(panel, own.set_index("quantity").reindex(names), named=number % 3 == 0)
        title = task if task == ALL_TASKS else findings.heading(task)
        cells = f"{own.methods.max()} methods, {own.cells.max()} cells"
        panel.set_title(f"{title}, {protocol}\n{cells}")
    level = findings.evidence.options.level
    return Drawing(
        family="transfer",
        name="transfer",
        title="What predicts transfer",
        caption=(
            "Spearman's coefficient of each quantity with scores, by ranks within a task "
            f"and label budget. Thin lines: {level:.0%} intervals over methods drawn "
            "again; thick: over cases and seeds. Right of 0 the quantity orders methods "
            f"as its convention says. {len(names)} quantities were tried, uncorrected."
        ),
        alt=_alt(data),
        figure=figure,
        data=data,
    )


def _ends(over: str, ends: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = ends or (None, None)
    return {f"{over}_low": low, f"{over}_high": high}


def _panel(axes: Any, own: pd.DataFrame, *, named: bool) -> None:
    places = range(len(own))
    for over, width in (("methods", 0.9), ("scores", 3.0)):
        axes.hlines(
            places, own[f"{over}_low"].astype(float), own[f"{over}_high"].astype(float),
            color=MUTED, linewidth=width,
        )  # fmt: skip
    axes.plot(own.spearman.astype(float), places, "o", color=INK, linestyle="none")
    axes.axvline(0, color=MUTED, linewidth=0.7)
    axes.set(xlim=(-1.05, 1.05), xlabel="Spearman", xticks=[-1, -0.5, 0, 0.5, 1])
    axes.set_yticks(places, list(own.index) if named else [""] * len(own))
    axes.set_ylim(len(own) - 0.4, -0.6)


def _alt(data: pd.DataFrame) -> str:
    sentences = []
    for (task, protocol), own in data.groupby(["task", "protocol"], sort=False):
        values = ", ".join(
            f"{row.quantity} {row.spearman:+.2f}" for row in own.itertuples()
        )
        sentences.append(f"{task}, {protocol}: {values}.")
    return " ".join(sentences[:_PANELS])
