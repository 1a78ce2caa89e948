"""How a frozen encoder groups images, measured and drawn (METHODS 2.10).

The model is the centre of each class among the training cases. An evaluation looks at
all cases that its cell knows, training, validation and test, as the paper does.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ...metrics import clusters
from ...schema.protocols import Cluster
from ..data import TaskData
from ..measured import Measured, write_features
from ..networks import Adapted, Shape
from ..node import Node
from ..predictor import Predictor
from ..probes import CentreProbe
from .implementation import Implementation
from .probe import ProbePredictor, sides
from .start import build_network, save_model

Points = NDArray[np.float32]
Classes = NDArray[np.int64]


def cluster(node: Node) -> None:
    """Compute an adapt node of protocol `cluster` into its attempt's folder."""
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    network = build_network(node, shape)
    assert isinstance(network, Adapted)
    train, _ = sides(node, data, network, shape)
    assert isinstance(network, CentreProbe)
    network.head.fit(train.vectors.pooled, train.y)
    node.attempt.note(trainable_params=0, n_train=len(train.y))
    save_model(node, network)


def keep_clusters(node: Node, data: TaskData, predictor: Predictor) -> None:
    """Write features.parquet, and planes.npz with the points of every UMAP.

    planes.npz: case_ids (n,), classes (n,), and points (seeds, n, 2).
    """
    assert isinstance(predictor, ProbePredictor)
    settings = Cluster.model_validate(predictor.shape.protocol)
    cases = node.where["cases"]
    ids = [
        each for side in ("train", "val", "test") for each in data.check(cases[side])
    ]
    x = predictor.vectors(ids).pooled.numpy()
    y = np.array([data.target(each) for each in ids])
    planes = np.stack(
        [_plane(x, settings, seed) for seed in range(settings.umap_seeds)]
    )
    rows = _quantities("pooled", x, y, seed=0)
    for seed, points in enumerate(planes):
        rows += _quantities(f"umap seed={seed}", points, y, seed=seed)
    write_features(node, rows)
    np.savez(
        node.attempt.path("planes.npz"),
        case_ids=np.array(ids),
        classes=y,
        points=planes,
    )


def _plane(x: Points, settings: Cluster, seed: int) -> Points:
    """Return UMAP's points (n, 2): Euclidean, drawn by one thread from `seed`."""
    with warnings.catch_warnings():  # of parts that are not used, and of small data
        warnings.simplefilter("ignore")
        from umap import UMAP  # slow to import, and an extra

        made = UMAP(
            n_neighbors=min(settings.neighbours, len(x) - 1),
            min_dist=settings.min_dist,
            init="spectral" if len(x) > settings.neighbours else "random",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(made.fit_transform(x), dtype=np.float32)


def _quantities(layer: str, x: Points, y: Classes, *, seed: int) -> list[Measured]:
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


IMPLEMENTATION = Implementation(cluster, ProbePredictor, keeps=keep_clusters)
