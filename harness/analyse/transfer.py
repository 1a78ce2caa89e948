"""How well a quantity of methods predicts their order on tasks: rank correlations.

Ranks are taken within a block (a task with a protocol and a label budget), so that blocks
of any metric can be pooled. Over blocks k and methods m, with centred mid-ranks r of the
quantity and s of the score,

    Spearman = Σ_km r s / sqrt(Σ_km r² Σ_km s²)
    Kendall  = Σ_k (concordant - discordant pairs) / sqrt(Σ_k untied_r Σ_k untied_s)

which for one block are the usual coefficients, Kendall's being tau-b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from .intervals import Bools, Floats

LEAST = 4  # methods: of three, one order in six is perfect by chance
Range = tuple[float, float]


@dataclass(frozen=True)
class Correlation:
    """A coefficient in [-1, 1], None where all values are tied.

    over_methods: interval of draws of methods with replacement; over_scores: of draws of
    test cases and seeds, the methods as they are. None where there is none.
    """

    value: float | None
    over_methods: Range | None
    over_scores: Range | None


@dataclass(frozen=True)
class Predicted:
    """How a quantity orders methods as their scores do.

    methods: places of those that have the quantity and a score in every block; fewer
    than LEAST have no coefficients. cells: pairs of block and method that count.
    """

    spearman: Correlation
    kendall: Correlation
    methods: tuple[int, ...]
    cells: int


_NONE = Correlation(None, None, None)


def predicted(
    quantity: Floats,
    score: Floats,
    drawn: Floats,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
) -> Predicted:
    """Return the agreement of a quantity with scores, higher being better in both.

    quantity, score: (K, M) of blocks and methods, nan where unknown; drawn: (B, K, M)
    scores under draws of cases and seeds. Methods are drawn B times, too; a draw in which
    all values are tied, such as of one method alone, says nothing and is left out.
    """
    known = np.flatnonzero((np.isfinite(quantity) & np.isfinite(score)).all(axis=0))
    places = tuple(int(place) for place in known)
    if len(known) < LEAST or not len(quantity):
        return Predicted(_NONE, _NONE, places, len(quantity) * len(known))
    x, y, ys = quantity[:, known], score[:, known], drawn[..., known]
    picked = rng.integers(len(known), size=(len(drawn), len(known)))
    methods = (_picked(x, picked), _picked(y, picked))
    scores = (np.broadcast_to(x, ys.shape), ys)
    found = [
        Correlation(
            _defined(one(x[None], y[None]))[0],
            _range(one(*methods), level),
            _range(one(*scores), level),
        )
        for one in (spearman, kendall)
    ]
    return Predicted(found[0], found[1], places, len(quantity) * len(known))


def spearman(x: Floats, y: Floats) -> Floats:
    """Return Spearman's coefficient pooled over blocks. x, y: (B, K, M). Returns (B,)."""
    r, s = (_centred_ranks(each) for each in (x, y))
    return _ratio(_total(r * s), _total(r * r), _total(s * s))


def kendall(x: Floats, y: Floats) -> Floats:
    """Return Kendall's tau-b pooled over blocks. x, y: (B, K, M). Returns (B,)."""
    sums = np.zeros((3, len(x)))
    upper = np.triu_indices(x.shape[2], 1)
    for block in range(x.shape[1]):
        r, s = (
            np.sign(each[:, block, upper[0]] - each[:, block, upper[1]])
            for each in (x, y)
        )
        sums += [(r * s).sum(axis=1), (r * r).sum(axis=1), (s * s).sum(axis=1)]
    return _ratio(*sums)


def _picked(values: Floats, picked: np.ndarray) -> Floats:
    """Return (B, K, M) of values (K, M) and picked methods (B, M)."""
    return np.moveaxis(values[:, picked], 0, 1)


def _centred_ranks(values: Floats) -> Floats:
    ranks: Floats = rankdata(values, axis=-1)
    centred: Floats = ranks - ranks.mean(axis=-1, keepdims=True)
    return centred


def _total(values: Floats) -> Floats:
    total: Floats = values.sum(axis=(1, 2))
    return total


def _ratio(both: Floats, one: Floats, other: Floats) -> Floats:
    norm = np.sqrt(one * other)
    usable: Bools = norm > 0
    return np.where(usable, both / np.where(usable, norm, 1.0), np.nan)


def _defined(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _range(values: Floats, level: float) -> Range | None:
    usable = values[np.isfinite(values)]
    if not len(usable):
        return None
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
