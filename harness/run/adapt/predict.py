"""An encoder with a decoder or a head as a model that predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..data import TaskData
from ..inference import Windows, sliding_window, softmax_
from ..networks import Model, TaskShape
from ..node import Node
from ..predictor import Labels
from .batches import case_image
from .classify import class_logits
from .start import load_model

ADAPT = "adapt"  # the role of the model among an evaluate node's inputs
_ON_DEVICE = 2 << 30  # bytes of logits that gather on the network's device
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
        self._count = 0

    def class_scores(self, ids: Sequence[str]) -> Tensor:
        """See Predictor."""
        logits = class_logits(
            self._node, self._data, ids, self.shape, self.network, batch=_BATCH
        )
        return logits.double().softmax(dim=1)

    @torch.no_grad()
    def labels(self, case_id: str) -> tuple[Labels, Labels]:
        """See Predictor. Notes how many windows all cases so far have taken."""
        image = case_image(self._data, case_id, self._node)
        shape = image.shape[1:]
        if 4 * self.shape.classes * math.prod(shape) > _ON_DEVICE:
            image = image.cpu()  # logits gather there; the network stays where it is
        windows = self._windows()
        logits = sliding_window(self.network, image, windows, device=self._node.device)
        self._count += windows.count(shape)
        self._node.attempt.note(windows=self._count)
        return self._labels_of(logits, self._data.cached.index_of(case_id))

    def _windows(self) -> Windows:
        settings = self._node.identity["settings"]
        return Windows(
            tuple(self.shape.crop),
            float(settings["overlap"]),
            settings.get("window_weights", "constant"),
            settings.get("window_padding", "zero"),
        )

    def _labels_of(self, logits: Tensor, index: int) -> tuple[Labels, Labels]:
        to_native = partial(self._data.cached.to_native, index)
        if not self.shape.regions:
            scores = softmax_(logits).cpu().numpy()
            return scores.argmax(axis=0).astype(np.uint8), to_native(scores)
        scores = logits.sigmoid_().cpu().numpy()
        native = [to_native(np.stack([1 - score, score])) for score in scores]
        return (scores > 0.5).astype(np.uint8), np.stack(native)


def network_predictor(node: Node, data: TaskData) -> NetworkPredictor:
    """Open the network that `node`, an evaluation, is about."""
    return NetworkPredictor(node, data)
