"""An encoder with a decoder or a head as a model that predicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..data import TaskData
from ..inference import sliding_window
from ..networks import Model, TaskShape
from ..node import Node
from ..predictor import Labels
from .batches import case_image
from .classify import class_logits
from .start import load_model

ADAPT = "adapt"  # the role of the model among an evaluate node's inputs
_BATCH = 16  # cases of a classification at once


class NetworkPredictor:
    """The network that an adapt node published, on the device of an evaluate node."""

    network: Model
    shape: TaskShape

    def __init__(self, node: Node, data: TaskData) -> None:
        key = str(node.identity["inputs"][ADAPT])
        self.network, self.shape = load_model(node.store, key)
        self.network.to(node.device)
        self._node, self._data = node, data

    def class_scores(self, ids: Sequence[str]) -> Tensor:
        """See Predictor."""
        logits = class_logits(
            self._node, self._data, ids, self.shape, self.network, batch=_BATCH
        )
        return logits.double().softmax(dim=1)

    @torch.no_grad()
    def labels(self, case_id: str) -> tuple[Labels, Labels]:
        """See Predictor."""
        overlap = float(self._node.identity["settings"]["overlap"])
        image = case_image(self._data, case_id, self._node)
        logits = sliding_window(self.network, image, self.shape.crop, overlap=overlap)
        return self._labels_of(logits, self._data.cached.index_of(case_id))

    def _labels_of(self, logits: Tensor, index: int) -> tuple[Labels, Labels]:
        to_native = partial(self._data.cached.to_native, index)
        if not self.shape.regions:
            scores = logits.softmax(dim=0).cpu().numpy()
            return scores.argmax(axis=0).astype(np.uint8), to_native(scores)
        scores = logits.sigmoid().cpu().numpy()
        native = [to_native(np.stack([1 - score, score])) for score in scores]
        return (scores > 0.5).astype(np.uint8), np.stack(native)


def network_predictor(node: Node, data: TaskData) -> NetworkPredictor:
    """Open the network that `node`, an evaluation, is about."""
    return NetworkPredictor(node, data)
