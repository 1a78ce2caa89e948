"""Friedman's test over tasks, and which methods it cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import chdtrc, fdtrc

from ..schema.errors import UserError
from .blocks import Blocks, Method
from .intervals import Floats
from .multiplicity import adjust
from .ranks import ranked
from .signed_rank import signed_rank

TASKS = 5  # fewest tasks for a test over tasks


@dataclass(frozen=True)
class CriticalDifference:
    """Methods in order of their mean rank over tasks, and the cliques among them.

    chi2_p: Friedman's p-value by its chi-squared form; p: by the F form of Iman and
    Davenport (1980), which is less conservative. adjusted: (M, M) Holm-adjusted p-values
    of Wilcoxon's test over tasks for each pair; cliques: places (first, last) of
    methods none of whose pairs differ at alpha. nemenyi: the critical difference of
    mean ranks by Nemenyi's test, shown beside because it depends on the other methods.
    reachable: whether any pair could differ at alpha with this many tasks.
    """

    methods: tuple[Method, ...]
    tasks: tuple[str, ...]
    rank: Floats
    chi2_p: float
    p: float
    adjusted: Floats
    cliques: tuple[tuple[int, int], ...]
    nemenyi: float
    reachable: bool
    alpha: float
    left_out: tuple[str, ...]


def critical_difference(blocks: Blocks, *, alpha: float = 0.05) -> CriticalDifference:
    """Test over tasks whether methods differ, then which pairs do.

    blocks: complete ones; those of a task are averaged first. Raises UserError with
    fewer than five tasks or three methods.
    """
    of_task = blocks.by_task()
    count, methods = of_task.value.shape
    if count < TASKS or methods < 3:
        msg = (
            f"a critical-difference diagram needs {TASKS} tasks and 3 methods or more; "
            f"here are {count} and {methods}"
        )
        raise UserError(msg)
    sign = 1.0 if blocks.lower_is_better else -1.0
    ranks = ranked(sign * np.round(of_task.value, 12))
    chi2_p, p = friedman(ranks)
    order = np.argsort(ranks.mean(axis=0), kind="stable")
    values = of_task.value[:, order]
    adjusted, reachable = _pairs(values, alpha)
    return CriticalDifference(
        tuple(blocks.methods[place] for place in order),
        of_task.tasks,
        ranks.mean(axis=0)[order],
        chi2_p,
        p,
        adjusted,
        _cliques(adjusted > alpha),
        _nemenyi(methods, count, alpha),
        reachable,
        alpha,
        blocks.left_out,
    )


def friedman(ranks: Floats) -> tuple[float, float]:
    """Return Friedman's p-values of ranks (K, M): by chi-squared and by F.

    Ties are corrected for; where all methods tie in every block both are 1.
    """
    blocks, methods = ranks.shape
    away = ranks.sum(axis=0) - blocks * (methods + 1) / 2
    spread = np.square(ranks - (methods + 1) / 2).sum()
    if spread == 0:
        return 1.0, 1.0
    chi2 = (methods - 1) * float(np.square(away).sum()) / float(spread)
    left = blocks * (methods - 1) - chi2
    if left <= 1e-9:
        return float(chdtrc(methods - 1, chi2)), 0.0
    f = (blocks - 1) * chi2 / left
    free = (methods - 1, (methods - 1) * (blocks - 1))
    return float(chdtrc(methods - 1, chi2)), float(fdtrc(*free, f))


def _pairs(values: Floats, alpha: float) -> tuple[Floats, bool]:
    """Holm-adjusted p-values of all pairs of columns, and whether alpha is in reach."""
    methods = values.shape[1]
    listed = list(combinations(range(methods), 2))
    gaps = np.array([values[:, one] - values[:, two] for one, two in listed])
    found = signed_rank(gaps, np.ones(gaps.shape, dtype=bool))
    every = np.ones(len(listed), dtype=bool)
    p = adjust(found.p, every)
    adjusted = np.ones((methods, methods))
    for (one, two), value in zip(listed, p, strict=True):
        adjusted[one, two] = adjusted[two, one] = value
    return adjusted, bool(adjust(found.floor, every).min() <= alpha)


def _cliques(alike: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the longest runs of places that are pairwise alike, two places or more."""
    found: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 1, last + 1].all():
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return tuple(found)


def _nemenyi(methods: int, tasks: int, alpha: float) -> float:
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * tasks)))
