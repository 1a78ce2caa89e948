"""Analysis `embedding`: image vectors in a plane, and how classes lie there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...nn.spread import embedding_spread
from ...schema.analyses.embedding import Embedding, Plane
from ...schema.errors import DataError
from ..measured import Measured, write_features
from ..node import Node
from ..planes import Points, class_distances, tsne_plane, umap_plane
from .networks import Crop, batches, before, choose_crops, settings_of, shape_of

LEAST = 4  # crops: fewer have no neighbours to keep


@torch.no_grad()
def analyse(node: Node) -> None:
    """Compute an analyse node into its attempt's folder. Raises DataError.

    planes.npz beside the rows: case_ids (n,), classes (n,), -1 where a task has none,
    and of each kind of plane its points (seeds, n, 2).
    """
    settings, sides = settings_of(node), shape_of(node).crop
    assert isinstance(settings, Embedding)
    data, network = node.data(), before(node)
    ids = data.check(node.where["cases"]["test"])
    crops = choose_crops(data, ids, sides, settings.samples)
    parts = [
        network.features(x).pooled.cpu()
        for x in batches(node, data, crops, sides, settings.batch)
    ]
    x = torch.cat(parts).numpy()
    _check(x, data.name)
    classified = data.spec.kind == "classification"
    classes = [data.target(crop.case_id) if classified else -1 for crop in crops]
    y = np.array(classes, np.int64)
    planes: dict[str, Any] = {
        name: np.stack(
            [_plane(x, name, settings, seed) for seed in range(settings.plane_seeds)]
        )
        for name in settings.planes
    }
    rows = [Measured("pooled", "spread", embedding_spread(torch.from_numpy(x)), len(x))]
    if classified:
        rows += class_distances("pooled", x, y, seed=0)
        for name, seeds in planes.items():
            for seed, points in enumerate(seeds):
                rows += class_distances(f"{name} seed={seed}", points, y, seed=seed)
    node.log(f"{len(x)} crops in {', '.join(planes)}")
    write_features(node, rows)
    np.savez_compressed(
        node.attempt.path("planes.npz"),
        case_ids=_names(crops), classes=y, **planes,
    )  # fmt: skip


def _check(x: Points, task: str) -> None:
    """Raise DataError for vectors of which no plane can be drawn."""
    if len(x) < LEAST:
        msg = (
            f"the test cases of {task} give {len(x)} crops, and {LEAST} or more can be "
            "drawn in a plane"
        )
        raise DataError(msg)
    if not np.isfinite(x).all():
        msg = f"the encoder gives vectors that are not finite on {task}"
        raise DataError(msg)
    if not np.ptp(x, axis=0).any():
        msg = (
            f"the encoder gives the same vector for all {len(x)} crops of {task}: there "
            "is nothing to draw in a plane"
        )
        raise DataError(msg)


def _plane(x: Points, name: Plane, settings: Embedding, seed: int) -> Points:
    if name == "tsne":
        return tsne_plane(x, perplexity=settings.perplexity, seed=seed)
    return umap_plane(
        x, neighbours=settings.neighbours, min_dist=settings.min_dist, seed=seed
    )


def _names(crops: list[Crop]) -> np.ndarray:
    return np.array([crop.case_id for crop in crops], dtype=np.str_)
