"""What a fusion needs around its training: scales before it, its attention after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..data import TaskData
from ..fused import Fused
from ..measured import Measured, write_features
from ..networks import TaskShape
from ..node import Node
from ..predictor import Predictor
from .classify import through
from .predict import NetworkPredictor

_BATCH = 16  # cases at once
_LAYER = "fusion"


def standardise(
    node: Node, data: TaskData, train: Sequence[str], shape: TaskShape, network: Fused
) -> None:
    """Give a fusion the scales of its encoders' vectors, where its settings ask for it.

    From the labelled training cases alone, whole, before any training.
    """
    if not network.standardises:
        return
    network.eval()
    joined = through(
        node, data, train, shape, lambda x: torch.cat(network.vectors(x), dim=1),
        batch=_BATCH,
    )  # fmt: skip
    network.standardise(joined)


def keep_attention(node: Node, data: TaskData, predictor: Predictor) -> None:
    """Write how much the encoders of a fusion attend to each other; of others nothing.

    attention.npz: `shares` (M, M), who looks by who is seen, rows of sum 1, the mean over
    test cases (METHODS 6 #25). features.parquet: the same, one row per pair, encoders by
    their number in `of`.
    """
    if not isinstance(predictor, NetworkPredictor):
        return
    network = predictor.network
    if not isinstance(network, Fused) or network.fusion.attention is None:
        return
    ids = data.check(node.where["cases"]["test"])
    count = len(network.widths)
    rows = through(
        node, data, ids, predictor.shape,
        lambda x: network.fusion.shares(network.vectors(x)).flatten(1), batch=_BATCH,
    )  # fmt: skip
    shares = rows.double().mean(dim=0).view(count, count).numpy()
    np.savez(node.attempt.path("attention.npz"), shares=shares)
    pairs = [(i, j) for i in range(count) for j in range(count)]
    write_features(
        node,
        [
            Measured(_LAYER, f"attention.{i}.{j}", float(shares[i, j]), len(ids))
            for i, j in pairs
        ],
    )
