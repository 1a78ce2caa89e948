"""Convergence: the validation score while an adaptation runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...store import query
from ..findings import Findings, Place, of_place
from ..reader import SCORE
from .drawing import Drawing, NothingToDraw, Sketch
from .style import Look, legend, panels, share_y

_GRID = 30  # points of a common grid in time
_BUDGETS = 3


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task and protocol: label budgets across, steps above hours."""
    if "adapt_key" not in findings.done:
        return []
    cells = findings.done
    pairs = dict.fromkeys(zip(cells.task, cells.protocol, strict=True))
    return [
        Sketch(name, partial(validation_curves, findings, Place(*pair), name))
        for pair in pairs
        for name in [f"convergence_{pair[0]}_{pair[1]}"]
    ]


def validation_curves(findings: Findings, place: Place, name: str) -> Drawing:
    """Draw median and range over seeds of the validation score, by steps and by time."""
    from .cases import spread

    budgets = spread(findings.budgets(place), _BUDGETS)
    frames = [_curves(findings, place, budget) for budget in budgets]
    data = pd.concat([frame for frame in frames if len(frame)] or frames)
    if not len(data) or data.groupby("seed_row").step.nunique().max() < 2:
        msg = f"{name}: no adaptation was validated more than once"
        raise NothingToDraw(msg)
    budgets = [budget for budget in budgets if (data.budget == budget).any()]
    looks = findings.looks
    shown = looks.present(zip(data.method, data.encoder, strict=True))
    figure, axes = panels(2 * len(budgets), across=len(budgets), height=2.4)
    in_gpu_hours = bool((data.gpu_h > 0).all())
    for column, budget in enumerate(budgets):
        top, below = axes[column], axes[len(budgets) + column]
        for pair in shown:
            own = data[
                (data.budget == budget)
                & (data.method == pair[0])
                & (data.encoder == pair[1])
            ]
            if len(own):
                _band(top, own, "step", looks[pair])
                _band(below, own, "hours", looks[pair])
        top.set(title=budget, xlabel="optimiser steps")
        below.set_xlabel("GPU-hours" if in_gpu_hours else "hours of one worker")
    share_y(axes)
    axes[0].set_ylabel("validation score")
    axes[len(budgets)].set_ylabel("validation score")
    legend(figure, [looks[pair] for pair in shown])
    seeds = int(data.groupby(["budget", "method", "encoder"]).seed_row.nunique().max())
    return Drawing(
        family="convergence",
        name=name,
        title=f"Convergence: {findings.heading(place.task)}, {place.protocol}",
        caption=(
            f"Validation score during adaptation: median over up to {seeds} seeds, band "
            "from the lowest to the highest seed; above by optimiser steps, below by "
            f"{'GPU-hours' if in_gpu_hours else 'hours of the worker that ran it'}. "
            "Pretraining is not counted."
        ),
        alt=_alt(data),
        figure=figure,
        task=place.task,
        data=data.drop(columns="seed_row"),
    )


def _curves(findings: Findings, place: Place, budget: str) -> pd.DataFrame:
    """Return one row per adaptation and validation.

    Columns: method, encoder, budget, seed, fold, seed_row, step, hours, gpu_h, score.
    """
    cells = of_place(findings.done, place, budget).drop_duplicates("adapt_key")
    files, rows = {}, []
    for row in cells.itertuples():
        try:
            files[row.adapt_key] = findings.published.table(row.adapt_key, "curves")
        except KeyError:
            continue  # its evaluation is published, its adaptation's files are gone
        rows.append(row)
    names = ["method", "encoder", "seed", "fold", "adapt_key"]
    kept = pd.DataFrame([{n: getattr(row, n) for n in names} for row in rows])
    columns = [*names[:4], "budget", "seed_row", "step", "hours", "gpu_h", "score"]
    if not files:
        return pd.DataFrame(columns=columns)
    found = query.curves(files, split="val").to_pandas()
    # Rows come in any order; equal results must make equal pages.
    found = found[found.quantity == SCORE].sort_values(["cell", "step"])
    own = kept.iloc[found.cell.to_numpy()].reset_index(drop=True)
    shares = np.array([findings.gpu_share(key) for key in kept.adapt_key])
    hours = found.wall_s.to_numpy(dtype=float) / 3600
    return own.assign(
        budget=budget,
        seed_row=[f"{budget}/{key}" for key in own.adapt_key],
        step=found.step.to_numpy(),
        hours=hours,
        gpu_h=hours * shares[found.cell.to_numpy()],
        score=found.value.to_numpy(dtype=float),
    )[columns]


def _band(axes: Any, own: pd.DataFrame, by: str, look: Look) -> None:
    """Draw the median of the seeds and their range; times are put on a common grid."""
    if by == "step":
        wide = own.pivot_table(index="step", columns="seed_row", values="score")
        x, y = wide.index.to_numpy(dtype=float), wide.to_numpy()
    else:
        x, y = _on_a_grid(own)
    low, mid, high = np.nanmin(y, axis=1), np.nanmedian(y, axis=1), np.nanmax(y, axis=1)
    axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
    marks = max(1, len(x) // 8)
    axes.plot(
        x, mid, color=look.colour, linestyle=look.dashes, marker=look.marker,
        markevery=marks, markersize=4.5,
    )  # fmt: skip


def _on_a_grid(own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate each seed's scores linearly where all seeds have been seen."""
    seeds = [one.sort_values("hours") for _, one in own.groupby("seed_row")]
    start = max(one.hours.iloc[0] for one in seeds)
    end = max(min(one.hours.iloc[-1] for one in seeds), start)
    x = np.linspace(start, end, _GRID if end > start else 1)
    return x, np.column_stack([np.interp(x, one.hours, one.score) for one in seeds])


def _alt(data: pd.DataFrame) -> str:
    last = data.sort_values("step", kind="stable").groupby(
        ["budget", "method"], sort=False
    )
    final = last.score.last()
    return "Last validation score: " + "; ".join(
        f"{method} at {budget} {value:.3f}" for (budget, method), value in final.items()
    )
