"""What probes share: frozen vectors of both sides, and predictions from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...metrics.classification import auc
from ..data import TaskData
from ..measured import Measured, write_features
from ..networks import Adapted, Shape
from ..node import Node
from ..predictor import Labels, Predictor
from ..probes import Probe
from .predict import ADAPT
from .start import load_model
from .vectors import FrozenVectors, ImageVectors


@dataclass(frozen=True)
class Side:
    """Cases of one side of the split: their vectors, and their classes (n,)."""

    vectors: ImageVectors
    y: Tensor


def sides(
    node: Node, data: TaskData, network: Adapted, shape: Shape
) -> tuple[Side, Side]:
    """Return the training and the validation cases of an adapt node."""
    frozen = FrozenVectors(node, data, network, shape)
    train, val = (data.check(node.where["cases"][side]) for side in ("train", "val"))
    return _side(data, frozen, train), _side(data, frozen, val)


def _side(data: TaskData, frozen: FrozenVectors, ids: list[str]) -> Side:
    return Side(frozen.of(ids), torch.tensor([data.target(each) for each in ids]))


def validation(logits: Tensor, y: Tensor) -> tuple[float | None, float]:
    """Return AUC (None where undefined) and cross-entropy of logits (n, classes).

    Logits that are not finite have no score and the worst loss.
    """
    if logits.isnan().any() or logits.isposinf().any():
        return None, float("inf")
    score = auc(y.numpy(), logits.double().softmax(dim=1).numpy()).value
    return score, float(F.cross_entropy(logits, y))


class ProbePredictor:
    """A published probe; cases that any cell has seen cost no pass of the encoder."""

    def __init__(self, node: Node, data: TaskData) -> None:
        network, shape = load_model(node.store, str(node.identity["inputs"][ADAPT]))
        assert isinstance(network, Probe)
        assert isinstance(shape, Shape)
        self.shape = shape
        self._probe = network.to(node.device)
        self._vectors = FrozenVectors(node, data, network, shape)
        self._device = node.device

    def vectors(self, ids: Sequence[str]) -> ImageVectors:
        """Return the vectors of cases, in this order."""
        return self._vectors.of(ids)

    @torch.no_grad()
    def class_scores(self, ids: Sequence[str]) -> Tensor:
        """See Predictor."""
        found = self.vectors(ids)
        x = found.joined(self._probe.blocks, average=self._probe.average)
        logits: Tensor = self._probe.head(x.to(self._device))
        return logits.cpu().double().softmax(dim=1)

    def labels(self, case_id: str) -> tuple[Labels, Labels]:
        """See Predictor; a probe classifies images, not voxels."""
        msg = f"a probe has no labels for the voxels of {case_id}"
        raise TypeError(msg)


def keep_gap(node: Node, data: TaskData, predictor: Predictor) -> None:
    """Write the AUC of validation and of test beside each other, in features.parquet.

    What selection has looked at is too good by as much as their difference, on average;
    METHODS 2.5 asks for it, since there are few validation cases.
    """
    found: dict[str, tuple[float | None, int]] = {}
    for side in ("val", "test"):
        ids = data.check(node.where["cases"][side])
        y = np.array([data.target(each) for each in ids])
        score = auc(y, predictor.class_scores(ids).numpy()).value if ids else None
        found[side] = score, len(ids)
    (val, _), (test, n) = found["val"], found["test"]
    gap = None if val is None or test is None else val - test
    rows = [Measured("head", f"{side} auc", *each) for side, each in found.items()]
    write_features(node, [*rows, Measured("head", "val - test auc", gap, n)])
