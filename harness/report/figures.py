"""Figures of tables, with their data beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..schema.errors import UserError
from .render import render
from .table import LOWER_IS_BETTER, NAMES, Block, Table, budget_order

# Told apart without colour too: every method keeps its marker and its dashes.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES = ("-", "--", ":", "-.")


def budget_curves(table: Table, folder: Path) -> tuple[Path, Path]:
    """Draw the mean against the label budget, with intervals: a panel per task.

    Writes <metric>_by_budget.png and the same numbers as .csv into `folder`; returns
    both paths. Raises UserError where the table is not one of means.
    """
    if table.kind != "scores":
        msg = "a figure by label budget needs the table of means, not of differences"
        raise UserError(msg)
    # Imported here: reading the fonts costs a second that tables need not wait for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks = list(table.blocks())
    figure = Figure(figsize=(4.2 * len(blocks) + 1.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(blocks), squeeze=False)[0]
    methods = list(dict.fromkeys((e.method, e.encoder) for e in table.entries))
    for panel, block in zip(panels, blocks, strict=True):
        _panel(panel, table, block, methods)
    handles: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles=list(handles.values()), labels=list(handles), loc="outside right upper"
    )
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{table.metric}_by_budget.png"
    figure.savefig(picture, dpi=150)
    data = picture.with_suffix(".csv")
    data.write_text(render(table, "csv"), encoding="utf-8")
    return picture, data


def _panel(
    axes: Any, table: Table, block: Block, methods: list[tuple[str, str]]
) -> None:
    """Draw one task: label budgets on a categorical axis, methods side by side."""
    import seaborn

    palette = seaborn.color_palette("colorblind", n_colors=len(methods))
    budgets = sorted(block.budgets, key=budget_order)
    encoders = {encoder for _, encoder in methods}
    step = 0.24 / max(len(methods), 1)
    for number, (method, encoder) in enumerate(methods):
        found = [
            (place + (number - (len(methods) - 1) / 2) * step, entry)
            for place, budget in enumerate(budgets)
            if (entry := block.entries.get((method, encoder, budget))) is not None
            and entry.mean is not None
        ]
        if not found:
            continue
        means = [entry.mean or 0.0 for _, entry in found]
        below = [(e.mean or 0.0) - _bound(e.low, e.mean) for _, e in found]
        above = [_bound(e.high, e.mean) - (e.mean or 0.0) for _, e in found]
        axes.errorbar(
            [place for place, _ in found],
            means,
            yerr=[below, above],
            label=f"{method} ({encoder})" if len(encoders) > 1 else method,
            color=palette[number],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_DASHES[number % len(_DASHES)],
            capsize=3,
        )
    better = "lower" if table.metric in LOWER_IS_BETTER else "higher"
    axes.set(
        title=block.heading,
        xlabel="labelled training cases",
        ylabel=f"{NAMES[table.metric]}, {better} is better",
        xticks=range(len(budgets)),
        xticklabels=budgets,
    )


def _bound(bound: float | None, mean: float | None) -> float:
    """Return a bound, or the mean where there is no interval to draw."""
    return (mean or 0.0) if bound is None else bound
