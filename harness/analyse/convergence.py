"""How fast methods converge (METHODS 4.5): first step at a share of the best score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .estimate import Estimate, estimate
from .intervals import Scores, two_way
from .scores import Layout

WINDOW = 5  # validations that are averaged (METHODS 4.5)


@dataclass(frozen=True)
class Convergence:
    """When a group's runs reach a target, and the area under their curves.

    target: share of the best final score of the task, protocol and label budget times
    that score. reached of runs got there; step, hours: the median over runs, with
    quartiles; None where so many never got there that it lies beyond the horizon
    (`horizon`: the last step of the shortest run). restricted: mean step over runs, a
    run that never got there counting the horizon, with Student's interval. area: mean
    height of the smoothed curve up to the horizon, mean over runs. rank: mean over
    seeds of the rank of the step among methods under that seed, those that never got
    there last together.
    """

    task: str
    protocol: str
    label_budget: str
    method: str
    encoder: str
    share: float
    target: float
    runs: int
    reached: int
    step: float | None
    step_low: float | None
    step_high: float | None
    hours: float | None
    horizon: int
    restricted: Estimate
    area: float
    rank: float | None


def run_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Return validation curves smoothed by a trailing mean over 5 validations.

    curves: cell (place in layout.cells), step, wall_s (may be null) and value, higher
    is better; non-finite values are left out. The result has the same columns, sorted.
    """
    kept = curves[np.isfinite(curves.value.to_numpy(dtype=np.float64))]
    kept = kept.sort_values(["cell", "step"], kind="stable").reset_index(drop=True)
    rolled = kept.groupby("cell", sort=False).value.rolling(WINDOW, min_periods=1)
    smooth = rolled.mean().reset_index(level=0, drop=True)
    return kept.assign(value=smooth)


def convergence(
    curves: pd.DataFrame, layout: Layout, *, share: float = 0.9
) -> list[Convergence]:
    """Return when each group reaches `share` of the best final score of its block.

    The best is the largest over methods of the mean over runs of the last smoothed
    value. Groups without a curve are left out.
    """
    smooth = run_curves(curves)
    cells = layout.cells
    smooth = smooth.assign(
        group=cells.group.to_numpy()[smooth.cell.to_numpy(dtype=np.int64)]
    )
    rows = layout.groups
    block = rows.groupby(["task", "protocol", "label_budget"], sort=False).ngroup()
    found = []
    for _, mine in smooth.groupby(smooth.group.map(block), sort=True):
        found += _of_block(mine, layout, share)
    return found


def _of_block(mine: pd.DataFrame, layout: Layout, share: float) -> list[Convergence]:
    last = mine.groupby("cell").tail(1)
    target = share * float(last.groupby("group").value.mean().max())
    horizon = int(last.step.min())
    runs = pd.DataFrame(
        [_of_run(cell, run, target, horizon) for cell, run in mine.groupby("cell")]
    )
    cells = layout.cells
    runs["group"] = cells.group.to_numpy()[runs.cell]
    runs["seed"] = cells.seed.to_numpy()[runs.cell]
    runs["fold"] = cells.fold.to_numpy()[runs.cell]
    runs["rank"] = runs.groupby(["seed", "fold"]).step.rank()
    several = runs.group.nunique() > 1
    found = []
    for group, own in runs.groupby("group"):
        row = layout.groups.loc[group]
        median, low, high = (_quantile(own.step, q) for q in (0.5, 0.25, 0.75))
        found.append(
            Convergence(
                row.task, row.protocol, row.label_budget, row.method, row.encoder,
                share, target, len(own), int(np.isfinite(own.step).sum()),
                median, low, high,
                _quantile(own.hours, 0.5), horizon, _restricted(own.step, horizon),
                float(own.area.mean()),
                float(own["rank"].mean()) if several else None,
            )
        )  # fmt: skip
    return found


def _of_run(
    cell: object, run: pd.DataFrame, target: float, horizon: int
) -> dict[str, object]:
    step = run.step.to_numpy(dtype=np.float64)
    value = run.value.to_numpy(dtype=np.float64)
    there = np.flatnonzero(value >= target)
    hours = run.wall_s.to_numpy(dtype=np.float64, na_value=np.nan) / 3600
    inside = step <= horizon
    length = step[inside][-1] - step[inside][0]
    area = (
        np.trapezoid(value[inside], step[inside]) / length if length > 0 else value[0]
    )
    # Never there is beyond every step; unknown hours stay unknown.
    return {
        "cell": cell,
        "step": step[there[0]] if len(there) else np.inf,
        "hours": hours[there[0]] if len(there) else np.inf,
        "area": float(area),
    }


def _restricted(steps: pd.Series, horizon: int) -> Estimate:
    values = np.minimum(steps.to_numpy(dtype=np.float64), float(horizon))
    sample = values[None, None]
    every = np.ones(sample.shape, dtype=bool)
    scores = Scores(sample, every, np.zeros(1, dtype=np.int64))
    found = estimate(two_way(scores))
    assert found is not None
    return found


def _quantile(values: pd.Series, share: float) -> float | None:
    """Return a quantile of which no half is infinite; None where it is, or unknown."""
    ordered = np.sort(values.to_numpy(dtype=np.float64))
    if not len(ordered) or np.isnan(ordered).any():
        return None
    place = share * (len(ordered) - 1)
    low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    if np.isinf(high):
        return None
    return float(low + (high - low) * (place - np.floor(place)))
