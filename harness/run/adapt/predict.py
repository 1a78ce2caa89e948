"""An encoder with a decoder or a head as a model that predicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import TaskData
from ..inference import Windows, most_likely, sliding_window, softmax_
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
        windows = self._windows()
        logits = case_logits(
            self._node, self._data, case_id, self.network, self.shape, windows
        )
        self._count += windows.count(logits.shape[1:])
        self._node.attempt.note(windows=self._count)
        index = self._data.cached.index_of(case_id)
        cached = self._data.cached
        return labels_of(
            logits, partial(cached.to_native, index),
            regions=bool(self.shape.regions), resampled=cached.grid(index).resampled,
        )  # fmt: skip

    def _windows(self) -> Windows:
        settings = self._node.identity["settings"]
        return Windows(
            tuple(self.shape.crop),
            float(settings["overlap"]),
            settings.get("window_weights", "constant"),
            settings.get("window_padding", "zero"),
        )


def case_logits(
    node: Node,
    data: TaskData,
    case_id: str,
    network: Model,
    shape: TaskShape,
    windows: Windows,
) -> Tensor:
    """Return the logits (classes, *sides) of a whole case.

    They gather on the node's device, or in main memory where they are large.
    """
    image = case_image(data, case_id, node)
    if 4 * shape.classes * math.prod(image.shape[1:]) > _ON_DEVICE:
        image = image.cpu()  # the network stays where it is
    return sliding_window(network, image, windows, device=node.device)


def labels_of(
    logits: Tensor,
    to_native: Callable[[NDArray[Any]], Labels],
    *,
    regions: bool,
    resampled: bool,
) -> tuple[Labels, Labels]:
    """Return what logits say on their own grid and on the file's; they are overwritten.

    to_native: brings labels, or scores, there; scores are interpolated where the grids
    differ in more than the order of axes (`resampled`).
    """
    if not regions:
        shares = softmax_(logits)
        small = most_likely(shares)
        return small, to_native(shares.cpu().numpy() if resampled else small)
    scores = logits.sigmoid_().cpu().numpy()
    found = (scores > 0.5).view(np.uint8)
    if not resampled:
        return found, np.stack([to_native(mask) for mask in found])
    native = [to_native(np.stack([1 - score, score])) for score in scores]
    return found, np.stack(native)


def network_predictor(node: Node, data: TaskData) -> NetworkPredictor:
    """Open the network that `node`, an evaluation, is about."""
    return NetworkPredictor(node, data)
