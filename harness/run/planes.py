"""Points drawn in a plane, near where they are near in a space of features.

UMAP (METHODS 2.10) and t-SNE (METHODS 4.10), and how classes lie in any such space. One
thread draws from a seed, so that the same seed gives the same plane.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..metrics import clusters
from .measured import Measured

Points = NDArray[np.float32]
Classes = NDArray[np.int64]


def umap_plane(x: Points, *, neighbours: int, min_dist: float, seed: int) -> Points:
    """Return UMAP's points (n, 2) of vectors (n, C), Euclidean."""
    with warnings.catch_warnings():  # of parts that are not used, and of small data
        warnings.simplefilter("ignore")
        from umap import UMAP  # slow to import, and an extra

        made = UMAP(
            n_neighbors=min(neighbours, len(x) - 1),
            min_dist=min_dist,
            init="spectral" if len(x) > neighbours else "random",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(made.fit_transform(x), dtype=np.float32)


def tsne_plane(x: Points, *, perplexity: float, seed: int) -> Points:
    """Return t-SNE's points (n, 2) of vectors (n, C), Euclidean.

    It starts at random: from principal components, scikit-learn's default, all seeds
    would draw one plane. perplexity: at most a third of the other points, more than which
    t-SNE cannot tell.
    """
    from sklearn.manifold import TSNE  # slow to import

    made = TSNE(
        perplexity=min(perplexity, (len(x) - 1) / 3),
        init="random",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(made.fit_transform(x), dtype=np.float32)


def class_distances(layer: str, x: Points, y: Classes, *, seed: int) -> list[Measured]:
    """Return how near points of a class are, and how far classes (metrics.clusters)."""
    own, apart = clusters.within(x, y), clusters.between(x, y)
    rows = [
        Measured(layer, "intra-class distance", own.mean, own.n),
        Measured(layer, "intra-class distance sd", own.sd, own.n),
        Measured(layer, "silhouette", clusters.silhouette(x, y, seed), len(y)),
        Measured(layer, "nmi", clusters.recovered(x, y, seed), len(y)),
    ]
    if apart is not None:
        rows += [
            Measured(layer, "inter-class distance", apart.mean, apart.n),
            Measured(layer, "inter-class distance sd", apart.sd, apart.n),
        ]
    return rows
