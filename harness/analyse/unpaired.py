"""Tests and effect sizes of two independent samples, many pairs of them at once.

A sample is a row of (K, S) with `present` of the same shape; where it is false there is
no observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from scipy.special import gammaln, nctdtrinc, ndtr, ndtri, stdtr

from .intervals import Bools, Floats, Ints
from .paired import moments

_ENUMERATED = 20_000  # splits of two samples that are listed rather than drawn


@dataclass(frozen=True)
class Samples:
    """K samples of up to S values; values are 0 where `present` is false."""

    values: Floats
    present: Bools

    @property
    def count(self) -> Ints:
        """How many values each sample has, (K,)."""
        number: Ints = self.present.sum(axis=1).astype(np.int64)
        return number


@dataclass(frozen=True)
class Effects:
    """Effect sizes (K,) with bounds, and where they are defined; elsewhere all are 0."""

    value: Floats
    low: Floats
    high: Floats
    defined: Bools

    @classmethod
    def of(cls, value: Floats, low: Floats, high: Floats, defined: Bools) -> Effects:
        """Return effects with 0 where they are not defined."""
        value, low, high = (np.where(defined, a, 0.0) for a in (value, low, high))
        return cls(value, low, high, defined)


def welch(one: Samples, two: Samples) -> tuple[Floats, Bools]:
    """Return two-sided p-values of Welch's t-test, and where it is defined.

    Undefined with fewer than two values in a sample, or where neither varies.
    """
    mean, spread = moments(one.values, one.present)
    other, other_spread = moments(two.values, two.present)
    defined = (np.minimum(one.count, two.count) > 1) & (spread + other_spread > 0)
    part = spread**2 / np.maximum(one.count, 1)
    other_part = other_spread**2 / np.maximum(two.count, 1)
    total = np.where(defined, part + other_part, 1.0)
    squares = part**2 / np.maximum(one.count - 1, 1)
    squares += other_part**2 / np.maximum(two.count - 1, 1)
    freedom = total**2 / np.where(defined, squares, 1.0)
    p = 2 * stdtr(np.maximum(freedom, 1.0), -np.abs(mean - other) / np.sqrt(total))
    return np.where(defined, p, 1.0), defined


def hedges_g(one: Samples, two: Samples, *, level: float = 0.95) -> Effects:
    """Return the standardised mean difference, corrected for small samples.

    g is the difference over the pooled SD, times the exact correction with gamma
    functions (Hedges 1981). The interval inverts the noncentral t distribution, exact
    for normal samples of equal variance. Undefined where the pooled SD is 0 or where
    there are fewer than three values in all.
    """
    mean, spread = moments(one.values, one.present)
    other, other_spread = moments(two.values, two.present)
    freedom = one.count + two.count - 2
    pooled = (one.count - 1) * spread**2 + (two.count - 1) * other_spread**2
    defined = (np.minimum(one.count, two.count) > 0) & (freedom > 0) & (pooled > 0)
    free = np.where(defined, freedom, 2).astype(np.float64)
    sd = np.sqrt(np.where(defined, pooled, 1.0) / free)
    shrink = np.exp(gammaln(free / 2) - gammaln((free - 1) / 2)) / np.sqrt(free / 2)
    # One degree of freedom: the correction is 0, and nothing can be said.
    defined &= freedom > 1
    scale = np.sqrt(1 / np.maximum(one.count, 1) + 1 / np.maximum(two.count, 1))
    d = (mean - other) / sd
    tail = (1 - level) / 2
    low = _noncentrality(free, 1 - tail, d / scale) * scale * shrink
    high = _noncentrality(free, tail, d / scale) * scale * shrink
    g = d * shrink
    return Effects.of(g, low, high, defined)


def _noncentrality(freedom: Floats, share: float, t: Floats) -> Floats:
    """Noncentrality under which a share of t values lies below `t`; a normal guard."""
    found = nctdtrinc(freedom, share, t)
    rough = t - ndtri(share) * np.sqrt(1 + t**2 / (2 * freedom))
    # The inversion gives up far out in the tails, where the normal form is close.
    usable = np.isfinite(found) & (np.abs(t) < 35)
    guarded: Floats = np.where(usable, found, rough)
    return guarded


def cliffs_delta(one: Samples, two: Samples, *, level: float = 0.95) -> Effects:
    """Return P(one > two) - P(one < two) in [-1, 1], ties counting half on each side.

    Interval: the unbiased variance of Cliff (Psychological Bulletin 114, 1993), with
    the asymmetric bounds of Feng and Cliff (2004). Where all values of one sample lie
    above the other's the inner bound is Wilson's for n of n, with n the smaller size:
    (n - z^2) / (n + z^2). Undefined with fewer than two values in a sample.
    """
    both = one.present[:, :, None] & two.present[:, None, :]
    order = np.sign(one.values[:, :, None] - two.values[:, None, :]) * both
    n, m = one.count, two.count
    pairs = np.maximum(n * m, 1)
    delta = order.sum(axis=(1, 2)) / pairs
    defined = np.minimum(n, m) > 1
    left = np.where(one.present, order.sum(axis=2) / np.maximum(m, 1)[:, None], 0.0)
    right = np.where(two.present, order.sum(axis=1) / np.maximum(n, 1)[:, None], 0.0)
    rows = (np.square(left - delta[:, None]) * one.present).sum(axis=1)
    columns = (np.square(right - delta[:, None]) * two.present).sum(axis=1)
    cells = (np.square(order - delta[:, None, None]) * both).sum(axis=(1, 2))
    variance = (
        m.astype(np.float64) ** 2 * rows + n.astype(np.float64) ** 2 * columns - cells
    ) / np.maximum(pairs * (n - 1) * (m - 1), 1)
    variance = np.maximum(variance, (1 - delta**2) / np.maximum(pairs - 1, 1))
    low, high = _feng_cliff(delta, variance, level)
    # All values of one sample above the other's: no variance is left to estimate.
    z2 = float(ndtri(0.5 + level / 2)) ** 2
    fewest = np.minimum(n, m)
    wilson = (fewest - z2) / (fewest + z2)
    low = np.where(delta >= 1, wilson, np.where(delta <= -1, -1.0, low))
    high = np.where(delta <= -1, -wilson, np.where(delta >= 1, 1.0, high))
    return Effects.of(delta, low, high, defined)


def _feng_cliff(delta: Floats, variance: Floats, level: float) -> tuple[Floats, Floats]:
    z = float(ndtri(0.5 + level / 2))
    centre = delta - delta**3
    root = np.sqrt(np.maximum((1 - delta**2) ** 2 + z**2 * variance, 0.0))
    below = 1 - delta**2 + z**2 * variance
    half = z * np.sqrt(variance) * root
    scale = np.where(below > 0, below, 1.0)
    low, high = (centre - half) / scale, (centre + half) / scale
    return np.clip(low, -1, 1), np.clip(high, -1, 1)


def split_test(
    one: Samples, two: Samples, rng: np.random.Generator, *, draws: int = 10_000
) -> tuple[Floats, Floats]:
    """Return two-sided permutation p-values of the mean difference, and their floors.

    Every split of the joint values into samples of these sizes is equally likely under
    the null. All splits are tried where there are at most 20,000 of them, otherwise
    `draws`, counting the observed one as one more. floor: the smallest p possible, 1
    where a sample is empty.
    """
    p, floor = np.ones(len(one.values)), np.ones(len(one.values))
    for row in range(len(p)):
        first = one.values[row][one.present[row]]
        joint = np.concatenate([first, two.values[row][two.present[row]]])
        n, total = len(first), len(joint)
        if not 0 < n < total:
            continue
        splits = comb(total, n)
        if splits <= _ENUMERATED:
            picked = _splits(total, n)
        else:
            order = np.argsort(rng.random((draws, total)), axis=1)
            picked = np.concatenate([np.arange(n)[None], order[:, :n]])
        away = np.abs(joint[picked].sum(axis=1) / n - joint.mean())
        edge = abs(first.mean() - joint.mean()) * (1 - 1e-12)
        p[row] = float((away >= edge - 1e-15).mean())
        floor[row] = min(1.0, (2 if 2 * n == total else 1) / len(picked))
    return p, floor


def _splits(total: int, n: int) -> Ints:
    return np.array(list(combinations(range(total), n)), dtype=np.int64)


def mann_whitney(one: Samples, two: Samples) -> tuple[Floats, Bools]:
    """Return two-sided p-values of the Mann-Whitney test, and where it is defined.

    Normal approximation with tied ranks and continuity correction; undefined where a
    sample is empty or all values are equal.
    """
    p, defined = np.ones(len(one.values)), np.zeros(len(one.values), dtype=bool)
    for row in range(len(p)):
        first = one.values[row][one.present[row]]
        second = two.values[row][two.present[row]]
        n, m = len(first), len(second)
        joint = np.concatenate([first, second])
        _, counts = np.unique(joint, return_counts=True)
        if min(n, m) == 0 or len(counts) < 2:
            continue
        u = float(np.sign(first[:, None] - second[None, :]).sum()) / 2
        ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
        spread = np.sqrt(n * m / 12 * (n + m + 1 - ties))
        p[row] = min(1.0, 2 * float(ndtr(-max(abs(u) - 0.5, 0.0) / spread)))
        defined[row] = True
    return p, defined
