"""How scores change with the size of corpora and of encoders, per doubling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .contrast import TaskScores
from .estimate import Estimate
from .questions import Scored, rows_of
from .scores import Layout


@dataclass(frozen=True)
class Trend:
    """How a score changes with a size, per doubling of it.

    family: whose methods it goes through, '' for all; sizes: rising, with the score of
    each; per_doubling: the slope of a straight line over log2(size), with the doubt of
    cases and seeds.
    """

    task: str
    protocol: str
    label_budget: str
    family: str
    sizes: tuple[float, ...]
    methods: tuple[str, ...]
    scores: tuple[float, ...]
    per_doubling: Estimate


def trends(
    layout: Layout,
    scored: Scored,
    sizes: Mapping[str, float],
    families: Mapping[str, str] | None = None,
    *,
    level: float = 0.95,
) -> list[Trend]:
    """Return how scores change with the size of what methods are made from.

    sizes: by method, such as the volumes that it was pretrained on or the parameters of
    its encoder, above 0. families: by method, whose sizes make one trend; without them
    all methods make one. Only methods named in both count; a trend needs two sizes with
    a score. Raises ValueError for a size that is not above 0.
    """
    if any(size <= 0 for size in sizes.values()):
        msg = "sizes need to be above 0"
        raise ValueError(msg)
    blocks: dict[tuple[str, str, str, str], list[tuple[float, str, int]]] = {}
    for group, row in rows_of(layout).items():
        method, scores = row["method"], scored.get(row["task"])
        family = "" if families is None else families.get(method)
        if method not in sizes or family is None or scores is None:
            continue
        if scores.value(group) is not None:
            key = (row["task"], row["protocol"], row["label_budget"], family)
            blocks.setdefault(key, []).append((float(sizes[method]), method, group))
    found = []
    for key, some in blocks.items():
        one = _trend(key, sorted(some), scored[key[0]], level)
        if one is not None:
            found.append(one)
    return found


def _trend(
    key: tuple[str, str, str, str],
    some: list[tuple[float, str, int]],
    scores: TaskScores,
    level: float,
) -> Trend | None:
    """Return a straight line of least squares over log2 of the size, a contrast."""
    x = np.log2([size for size, _, _ in some])
    away = x - x.mean()
    if not np.square(away).sum() > 0:
        return None
    weights = (away / np.square(away).sum()).tolist()
    groups = [group for _, _, group in some]
    slope = scores.contrast(dict(zip(groups, weights, strict=True)), level=level)
    if slope is None:
        return None
    values = (scores.value(group) for group in groups)
    return Trend(
        *key,
        tuple(size for size, _, _ in some),
        tuple(method for _, method, _ in some),
        tuple(value for value in values if value is not None),
        slope,
    )
