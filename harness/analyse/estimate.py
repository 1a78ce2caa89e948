"""One estimate with its doubt, and how independent ones are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from .intervals import NONE, Intervals, quantile

Limits = tuple[float, float]
ANY: Limits = (-inf, inf)
SHARE: Limits = (0.0, 1.0)
POSITIVE: Limits = (0.0, inf)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; low and high are None where there is none.

    spread: standard error, 0 without an interval; freedom: degrees of freedom of
    Student's t with it; cases, seeds: what it rests on.
    """

    value: float
    low: float | None
    high: float | None
    spread: float
    freedom: float
    cases: int
    seeds: int

    def times(self, factor: float) -> Estimate:
        """Return the estimate in other units; a negative factor turns it round."""
        bounds = sorted(factor * b for b in (self.low, self.high) if b is not None)
        low, high = bounds if bounds else (None, None)
        return Estimate(
            factor * self.value, low, high, abs(factor) * self.spread, self.freedom,
            self.cases, self.seeds,
        )  # fmt: skip


def estimate(intervals: Intervals | None, row: int = 0) -> Estimate | None:
    """Return one row of intervals, None where it has no mean."""
    if intervals is None or not intervals.cases[row]:
        return None
    none = bool(intervals.rule[row] == NONE)
    freedom = 1.0 if intervals.freedom is None else float(intervals.freedom[row])
    return Estimate(
        float(intervals.mean[row]),
        None if none else float(intervals.low[row]),
        None if none else float(intervals.high[row]),
        0.0 if none else float(intervals.spread[row]),
        freedom,
        int(intervals.cases[row]),
        int(intervals.seeds[row]),
    )


def clipped(found: Estimate, limits: Limits) -> Estimate:
    """Return an estimate of what lies within limits by its nature, its interval cut there.

    What is cut off holds no possible value, so that the interval covers as often as
    before: Student's of two runs is wide, and may reach past 1 for an AUC. The value
    itself stays inside where rounding, or an unbiased estimate, is past a limit.
    """
    if found.low is None or found.high is None:
        return found
    least, most = min(limits[0], found.value), max(limits[1], found.value)
    low, high = (min(max(end, least), most) for end in (found.low, found.high))
    return replace(found, low=low, high=high)


def of_difference(limits: Limits) -> Limits:
    """Return the limits of a difference of two quantities with the same limits.

    >>> of_difference((0.0, 1.0))
    (-1.0, 1.0)
    """
    low, high = limits
    return low - high, high - low


def shifted(one: Estimate, constant: float) -> Estimate:
    """Return an estimate with a known number added."""
    return Estimate(
        one.value + constant,
        None if one.low is None else one.low + constant,
        None if one.high is None else one.high + constant,
        one.spread,
        one.freedom,
        one.cases,
        one.seeds,
    )


def over_runs(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Return the mean of one value per run with Student's interval; none of one run.

    Raises ValueError without a value.
    """
    found = np.asarray(values, dtype=np.float64)
    n = len(found)
    if not n:
        msg = "a mean over runs takes one value or more"
        raise ValueError(msg)
    mean = float(found.mean())
    if n < 2:
        return Estimate(mean, None, None, 0.0, 1.0, 0, n)
    spread = float(found.std(ddof=1) / np.sqrt(n))
    half = float(quantile(np.array([n - 1.0]), level)[0]) * spread
    return Estimate(mean, mean - half, mean + half, spread, n - 1.0, 0, n)


def weighted_sum(
    parts: Sequence[Estimate], weights: Sequence[float], *, level: float = 0.95
) -> Estimate:
    """Return a sum of independent estimates, such as those of different tasks.

    The standard error is the root of the weighted squares, the degrees of freedom are
    Satterthwaite's. There is an interval only where every part has one.
    """
    value = float(sum(w * p.value for w, p in zip(weights, parts, strict=True)))
    squares = [(w * p.spread) ** 2 for w, p in zip(weights, parts, strict=True)]
    variance = float(sum(squares))
    lost = sum(s**2 / p.freedom for s, p in zip(squares, parts, strict=True))
    freedom = max(variance**2 / lost, 1.0) if lost > 0 else 1.0
    spread = float(np.sqrt(variance))
    half = float(quantile(np.array([freedom]), level)[0]) * spread
    bounded = all(p.low is not None for p in parts)
    return Estimate(
        value,
        value - half if bounded else None,
        value + half if bounded else None,
        spread,
        freedom,
        sum(p.cases for p in parts),
        min((p.seeds for p in parts), default=0),
    )
