"""Rankings across tasks: mean ranks, how stable they are, who beats whom how often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .blocks import Block, Blocks, Method
from .intervals import Floats, Ints


@dataclass(frozen=True)
class Ranking:
    """Methods ranked over blocks; rank 1 is best, ties share their mean rank.

    rank: (M,) mean rank over blocks; low, high: percentiles over draws of cases and
    seeds (tasks are taken as given); place: (M,) 1..M by mean rank, ties at the best.
    of_block: (K, M). share: (M, M) share of draws in which a method has a place. tau:
    Kendall's tau-b of each draw's mean ranks with the ranking, as mean and 2.5th
    percentile; None with one method. wins: (M, M) share of blocks in which the method
    of the row has the better mean than that of the column, ties half; 0.5 with itself.
    wins_low, wins_high: percentiles of that over draws.
    """

    methods: tuple[Method, ...]
    blocks: tuple[Block, ...]
    rank: Floats
    low: Floats
    high: Floats
    place: Ints
    of_block: Floats
    share: Floats
    tau: tuple[float, float] | None
    wins: Floats
    wins_low: Floats
    wins_high: Floats
    left_out: tuple[str, ...]


def ranking(blocks: Blocks, *, level: float = 0.95) -> Ranking:
    """Rank methods by their mean rank over complete blocks (see `complete`)."""
    sign = 1.0 if blocks.lower_is_better else -1.0
    of_block = ranked(sign * blocks.value)
    rank = of_block.mean(axis=0)
    drawn_ranks = ranked(sign * blocks.drawn)
    drawn = drawn_ranks.mean(axis=1)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    wins = _wins(of_block[None])[0]
    wins_low, wins_high = np.quantile(_wins(drawn_ranks), tails, axis=0)
    return Ranking(
        blocks.methods,
        blocks.blocks,
        rank,
        np.minimum(low, rank),
        np.maximum(high, rank),
        _places(rank[None])[0],
        of_block,
        _place_shares(_places(drawn)),
        _stability(rank, drawn),
        wins,
        np.minimum(wins_low, wins),
        np.maximum(wins_high, wins),
        blocks.left_out,
    )


def ranked(values: Floats) -> Floats:
    """Return ranks along the last axis, 1 the smallest, ties at their mean."""
    below = (values[..., None, :] < values[..., :, None]).sum(axis=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(axis=-1)
    ranks: Floats = below + (equal + 1) / 2
    return ranks


def _places(ranks: Floats) -> Ints:
    """Places 1..M of mean ranks (B, M), ties at the best."""
    rounded = np.round(ranks, 9)
    places: Ints = (rounded[:, None, :] < rounded[:, :, None]).sum(axis=-1) + 1
    return places


def _place_shares(places: Ints) -> Floats:
    count = places.shape[1]
    return np.stack([(places == k + 1).mean(axis=0) for k in range(count)], axis=1)


def _wins(ranks: Floats) -> Floats:
    """Share of blocks (axis 1 of (B, K, M)) in which a rank is the smaller one."""
    draws, blocks, methods = ranks.shape
    share = np.full((draws, methods, methods), 0.5)
    for one in range(methods):
        for two in range(one):
            apart = np.sign(ranks[:, :, two] - ranks[:, :, one])
            share[:, one, two] = (apart.sum(axis=1) / blocks + 1) / 2
            share[:, two, one] = 1 - share[:, one, two]
    return share


def _stability(rank: Floats, drawn: Floats) -> tuple[float, float] | None:
    if len(rank) < 2:
        return None
    taus = kendall(np.broadcast_to(rank, drawn.shape), drawn)
    return float(taus.mean()), float(np.quantile(taus, 0.025))


def kendall(one: Floats, two: Floats) -> Floats:
    """Return Kendall's tau-b of each pair of rows (B, M); 0 where a row is constant."""
    upper = np.triu_indices(one.shape[1], 1)
    a = np.sign(np.round(one[:, upper[0]] - one[:, upper[1]], 9))
    b = np.sign(np.round(two[:, upper[0]] - two[:, upper[1]], 9))
    scale = np.sqrt(np.abs(a).sum(axis=1) * np.abs(b).sum(axis=1))
    tau: Floats = (a * b).sum(axis=1) / np.where(scale > 0, scale, 1.0)
    return tau
