"""Wilcoxon's signed-rank test of many samples of paired differences at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from ..schema.style import Zeros
from .intervals import Bools, Floats, Ints

EXACT = 50  # largest number of non-zero differences with an exact p-value
_DECIMALS = 12  # differences of scores closer than this are rounding, not differences


@dataclass(frozen=True)
class SignedRanks:
    """Results of K tests. p is 1 where no difference is non-zero.

    nonzero: how many differences are not zero; with m of them no two-sided p-value is
    below 2**(1 - m). above, below: sums of the ranks of positive and negative ones.
    """

    p: Floats
    nonzero: Ints
    above: Floats
    below: Floats

    @property
    def floor(self) -> Floats:
        """The smallest p-value that any signs of these differences could have given."""
        lowest: Floats = np.minimum(np.exp2(1.0 - self.nonzero), 1.0)
        return lowest

    @property
    def rank_biserial(self) -> Floats:
        """Matched-pairs rank-biserial correlation in [-1, 1] (Kerby 2014); 0 if none."""
        total = self.above + self.below
        share: Floats = (self.above - self.below) / np.where(total > 0, total, 1.0)
        return share


def signed_rank(
    differences: Floats, present: Bools, *, zeros: Zeros = "pratt"
) -> SignedRanks:
    """Test whether the differences of each row are symmetric about 0, two-sided.

    differences, present: (K, N). `pratt` ranks zeros with the others and then leaves
    them out (Pratt, JASA 54, 1959); `drop` leaves them out before ranking. Up to EXACT
    non-zero differences p is exact given the ranks, ties and zeros included; above, it
    is the normal approximation with the variance of tied ranks and no continuity
    correction, as scipy's. Scipy turns to that approximation from 14 differences on
    where there are ties or zeros; without them the p-values agree throughout.
    """
    ranks, signs, _ = sorted_ranks(differences, present, zeros=zeros)
    above = (ranks * (signs > 0)).sum(axis=1)
    below = (ranks * (signs < 0)).sum(axis=1)
    scores = ranks * (signs != 0)
    nonzero = (signs != 0).sum(axis=1)
    spread = np.sqrt(np.square(scores).sum(axis=1)) / 2
    least = np.minimum(above, below)
    away = (least - scores.sum(axis=1) / 2) / np.where(spread > 0, spread, 1.0)
    p = np.where(spread > 0, 2 * ndtr(away), 1.0)
    few = np.flatnonzero((nonzero > 0) & (nonzero <= EXACT))
    doubled = np.rint(2 * scores[few]).astype(np.int64)
    for row, own, sum_ in zip(few, doubled, np.rint(2 * least[few]), strict=True):
        p[row] = 2 * _cumulated(tuple(own[own > 0].tolist()))[int(sum_)]
    return SignedRanks(np.minimum(p, 1.0), nonzero.astype(np.int64), above, below)


def sorted_ranks(
    differences: Floats, present: Bools, *, zeros: Zeros = "pratt"
) -> tuple[Floats, Ints, Ints]:
    """Return ranks of the sizes, ties averaged, and signs, sorted by size; the order.

    (K, N) each; absent differences come last with rank 0 and sign 0, as do zeros with
    `drop`; with `pratt` zeros keep their rank and have sign 0.
    """
    rounded = np.round(differences, _DECIMALS)
    counted = present if zeros == "pratt" else present & (rounded != 0)
    size = np.where(counted, np.abs(rounded), np.inf)
    order = np.argsort(size, axis=1, kind="stable")
    ordered = np.take_along_axis(size, order, axis=1)
    signs = np.take_along_axis(np.sign(rounded), order, axis=1).astype(np.int64)
    known = np.isfinite(ordered)
    first, last = tied(ordered)
    ranks = np.where(known, (first + last) / 2 + 1, 0.0)
    return ranks, np.where(known, signs, 0), order


def tied(ordered: Floats) -> tuple[Ints, Ints]:
    """Places of the first and the last of the values equal to each, in sorted rows."""
    width = ordered.shape[1]
    places = np.broadcast_to(np.arange(width), ordered.shape)
    edge = np.ones((len(ordered), min(width, 1)), dtype=bool)
    new = np.concatenate([edge, ordered[:, 1:] != ordered[:, :-1]], axis=1)
    if new.all():
        return places, places
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    ends = np.concatenate([new[:, 1:], edge], axis=1)
    last = np.where(ends, places, width)[:, ::-1]
    return first, np.minimum.accumulate(last, axis=1)[:, ::-1]


@lru_cache(maxsize=4096)
def _cumulated(doubled: tuple[int, ...]) -> Floats:
    """P(sum <= k) of doubled ranks whose signs are fair coins, for k = 0, 1, ...

    The sums are built rank by rank: each is in the sum or not, with equal chance.
    """
    chance = np.ones(1)
    for rank in doubled:
        longer = np.zeros(len(chance) + rank)
        longer[: len(chance)] = chance / 2
        longer[rank:] += chance / 2
        chance = longer
    cumulated: Floats = np.cumsum(chance)
    return cumulated
