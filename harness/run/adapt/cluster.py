"""How a frozen encoder groups images, measured and drawn (METHODS 2.10).

The model is the centre of each class among the training cases. An evaluation looks at
all cases that its cell knows, training, validation and test, as the paper does.
"""

from __future__ import annotations

import numpy as np

from ...schema.protocols import Cluster
from ..data import TaskData
from ..measured import write_features
from ..networks import Adapted, Shape
from ..node import Node
from ..planes import class_distances, umap_plane
from ..predictor import Predictor
from ..probes import CentreProbe
from .implementation import Implementation
from .probe import ProbePredictor, sides
from .start import build_network, save_model


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
        [
            umap_plane(
                x, neighbours=settings.neighbours, min_dist=settings.min_dist, seed=seed
            )
            for seed in range(settings.umap_seeds)
        ]
    )
    rows = class_distances("pooled", x, y, seed=0)
    for seed, points in enumerate(planes):
        rows += class_distances(f"umap seed={seed}", points, y, seed=seed)
    write_features(node, rows)
    np.savez(
        node.attempt.path("planes.npz"),
        case_ids=np.array(ids),
        classes=y,
        points=planes,
    )


IMPLEMENTATION = Implementation(cluster, ProbePredictor, keeps=keep_clusters)
