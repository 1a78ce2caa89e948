"""What papers print against what was measured here."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from ..findings import Findings
from ..table import NAMES, Measure, Table
from .drawing import Drawing, NothingToDraw, Sketch
from .style import MUTED, Looks, legend, panels


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per metric of which papers print a number."""
    if findings.literature is None:
        return []
    printed = set(findings.literature.metric)
    return [
        Sketch(name, partial(scatter, findings, metric, table, name))
        for metric, table in findings.means()
        if metric in printed
        for name in [f"{metric}_published_against_measured"]
    ]


def matched(table: Table, literature: pd.DataFrame) -> pd.DataFrame:
    """Return a row per printed number that was measured too.

    Columns: those of `literature`, with the printed value and bounds as published,
    published_low and published_high, and measured, measured_low, measured_high. A number
    without an encoder meets every encoder of its method.
    """
    rows = []
    for one in literature[literature.metric == table.metric].to_dict("records"):
        for e in table.entries:
            same = (e.method, e.task, e.protocol, e.budget) == (
                one["method"], one["task"], one["protocol"], one["label_budget"],
            )  # fmt: skip
            fits = pd.isna(one["encoder"]) or one["encoder"] == e.encoder
            if same and fits and e.mean is not None:
                rows.append(
                    {
                        **{k: one[k] for k in ("paper", "place", "method")},
                        "encoder": e.encoder,
                        **{k: one[k] for k in ("task", "protocol", "label_budget")},
                        "published": one["value"], "published_low": one["low"],
                        "published_high": one["high"], "measured": e.mean,
                        "measured_low": e.low, "measured_high": e.high,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def scatter(findings: Findings, metric: Measure, table: Table, name: str) -> Drawing:
    """Draw a point per number; on the diagonal both are equal."""
    literature = findings.literature
    data = matched(table, literature) if literature is not None else pd.DataFrame()
    if not len(data):
        msg = (
            f"{name}: nothing that papers print of {NAMES[metric]} is measured here yet"
        )
        raise NothingToDraw(msg)
    figure, (axes,) = panels(1, width=4.2, height=4.0)
    _points(axes, data, findings.looks)
    axes.set(xlabel=f"{NAMES[metric]}, published", ylabel=f"{NAMES[metric]}, measured")
    axes.grid(visible=True, axis="both")
    shown = findings.looks.present(zip(data.method, data.encoder, strict=True))
    legend(figure, [findings.looks[pair] for pair in shown], lines=False)
    inside = (data.measured_low <= data.published) & (
        data.published <= data.measured_high
    )
    return Drawing(
        family="published",
        name=name,
        title=f"{NAMES[metric]}, published against measured",
        caption=(
            f"One point per printed number (n = {len(data)}); on the line both agree. "
            f"Bars: {table.level:.0%} intervals of what was measured, and of what was "
            f"published where the paper gives one. {int(inside.sum())} of {len(data)} "
            "printed numbers lie within the measured interval."
        ),
        alt="; ".join(
            f"{row.method} on {row.task} at {row.label_budget}: published "
            f"{row.published:g}, measured {row.measured:.3g}"
            for row in data.head(20).itertuples()
        ),
        figure=figure,
        data=data,
    )


def _points(axes: Any, data: pd.DataFrame, looks: Looks) -> None:
    ends = [
        min(data.published.min(), data.measured.min()),
        max(data.published.max(), data.measured.max()),
    ]
    pad = 0.05 * (ends[1] - ends[0] or 0.1)
    ends = [ends[0] - pad, ends[1] + pad]
    axes.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=":")
    for row in data.itertuples():
        look = looks[row.method, row.encoder]
        if pd.notna(row.measured_low):
            axes.plot([row.published] * 2, [row.measured_low, row.measured_high],
                      color=look.colour, linewidth=0.9)  # fmt: skip
        if pd.notna(row.published_low) and pd.notna(row.published_high):
            axes.plot([row.published_low, row.published_high], [row.measured] * 2,
                      color=look.colour, linewidth=0.9)  # fmt: skip
        axes.plot([row.published], [row.measured], marker=look.marker,
                  color=look.colour, linestyle="none")  # fmt: skip
