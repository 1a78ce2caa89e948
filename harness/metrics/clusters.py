"""How points of known classes lie: within a class, between classes (METHODS 2.10)."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score, silhouette_score

_STARTS = 10  # of k-means, the best of which counts; chosen here
_SILHOUETTE = 5_000  # points at most, since it needs every pair; chosen here


class Spread(NamedTuple):
    """A mean and a standard deviation, and of how many distances."""

    mean: float
    sd: float
    n: int


def centres(x: NDArray[np.floating], y: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean of each class that occurs, by rising class, (K, C)."""
    found = [x[y == each].mean(axis=0, dtype=np.float64) for each in np.unique(y)]
    return np.stack(found)


def within(x: NDArray[np.floating], y: NDArray[np.integer]) -> Spread:
    """Return Euclidean distances of points to the centre of their class.

    Lower is tighter, 0 or more. x: (n, C); y: (n,) classes.
    """
    own = centres(x, y)[np.unique(y, return_inverse=True)[1]]
    return _spread(np.linalg.norm(x - own, axis=1))


def between(x: NDArray[np.floating], y: NDArray[np.integer]) -> Spread | None:
    """Return Euclidean distances between the centres of each pair of classes.

    Higher is further apart. None where there are fewer than two classes.
    """
    pairs = list(combinations(centres(x, y), 2))
    if not pairs:
        return None
    return _spread(np.array([np.linalg.norm(a - b) for a, b in pairs]))


def _spread(distances: NDArray[np.floating]) -> Spread:
    return Spread(float(distances.mean()), float(distances.std()), len(distances))


def silhouette(
    x: NDArray[np.floating], y: NDArray[np.integer], seed: int
) -> float | None:
    """Return the mean silhouette in [-1, 1]; higher is better separated.

    Of 5,000 points drawn by `seed` where there are more. None unless there are at least
    two classes and fewer than points.
    """
    if len(y) > _SILHOUETTE:
        rows = np.random.default_rng(seed).choice(len(y), _SILHOUETTE, replace=False)
        x, y = x[rows], y[rows]
    if not 2 <= len(np.unique(y)) < len(y):
        return None
    return float(silhouette_score(x, y))


def recovered(
    x: NDArray[np.floating], y: NDArray[np.integer], seed: int
) -> float | None:
    """Return the normalised mutual information of k-means' clusters and classes.

    In [0, 1], higher is better; as many clusters as classes occur, k-means drawn from
    `seed`. None where there are fewer than two classes.
    """
    count = len(np.unique(y))
    if count < 2:
        return None
    means = KMeans(count, n_init=_STARTS, random_state=seed)
    return float(normalized_mutual_info_score(y, means.fit_predict(x)))
