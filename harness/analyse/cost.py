"""Cost against quality: what a point of score costs in hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .compare import pair_groups
from .questions import Place, Scored, rows_of
from .scores import Layout


@dataclass(frozen=True)
class Cost:
    """What a group cost and what it brought over the baseline.

    hours: of adaptations and evaluations, mean per run, plus the whole of the
    pretraining they share; extra: hours beyond the baseline's. points: score beyond the
    baseline's, in hundredths (turned round where lower is better); per_point: extra
    hours for each of them, None where there is no gain to pay for. frontier: whether no
    other method of the block is both cheaper and at least as good.
    """

    place: Place
    label_budget: str
    baseline: str
    hours: float
    extra: float
    score: float
    points: float
    per_point: float | None
    frontier: bool


def costs(
    layout: Layout,
    scored: Scored,
    hours: Mapping[int, float],
    *,
    baseline: str | None = None,
    lower_is_better: bool = False,
) -> list[Cost]:
    """Return cost and quality of every method against the baseline.

    hours: by group, GPU-hours or, where all ran without a GPU, wall hours. Groups
    without hours or without a score are left out. Raises UserError where there is no
    baseline (`pair_groups`).
    """
    rows = rows_of(layout)
    sign = -1.0 if lower_is_better else 1.0
    known: dict[int, tuple[float, float]] = {}
    for group, row in rows.items():
        source = scored.get(row["task"])
        value = None if source is None else source.value(group)
        if value is not None and np.isfinite(hours.get(group, np.nan)):
            known[group] = (float(hours[group]), sign * value)
    found = []
    for group, base in pair_groups(layout, baseline):
        if group not in known or base not in known:
            continue
        row = rows[group]
        spent, value = known[group]
        points = 100 * (value - known[base][1])
        extra = spent - known[base][0]
        found.append(
            Cost(
                Place(row["task"], row["protocol"], row["method"], row["encoder"]),
                row["label_budget"], rows[base]["method"], spent, extra, sign * value,
                points, extra / points if points > 0 and extra > 0 else None,
                _on_frontier(group, rows, known),
            )
        )  # fmt: skip
    return found


def _on_frontier(
    group: int,
    rows: Mapping[int, Mapping[str, object]],
    known: Mapping[int, tuple[float, float]],
) -> bool:
    def block(one: int) -> tuple[object, ...]:
        row = rows[one]
        return row["task"], row["protocol"], row["label_budget"]

    spent, value = known[group]
    return not any(
        other != group
        and block(other) == block(group)
        and cheaper <= spent
        and better >= value
        and (cheaper, better) != (spent, value)
        for other, (cheaper, better) in known.items()
    )
