"""Fine-tuning: decoder or head trained together with the encoder (METHODS 2.1, 2.6).

A fixed number of steps whatever the label budget. The weights of the best validation
are what is kept; validation looks at whole volumes, never at augmented crops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...metrics.classification import auc
from ...metrics.overlap import dice
from ...schema.protocols import Finetune
from ..curves import Curves
from ..data import TaskData
from ..inference import sliding_window
from ..networks import Adapted, Shape
from ..node import Node
from ..optimise import BestState, Descent, adamw, trainable
from .batches import Batches, case_image
from .classify import class_logits
from .objectives import dice_ce
from .start import build_network, protocol_of, save_model, streams_of


class Validation(NamedTuple):
    """A score, higher is better, or None where undefined; a loss that breaks ties."""

    score: float | None
    loss: float


def finetune(node: Node) -> None:
    """Compute an adapt node of protocol `finetune` into its attempt's folder.

    Writes model.safetensors, model.json and curves.parquet. Raises DataError for what
    is wrong with the data or the checkpoint, Diverged where the loss is not finite.
    """
    protocol = protocol_of(node)
    assert isinstance(protocol, Finetune)
    shape = Shape.of(node.identity["settings"])
    data = node.data()
    train, val = (data.check(node.where["cases"][side]) for side in ("train", "val"))
    network = build_network(node, shape)
    if protocol.freeze == "encoder":
        network.freeze_encoder()
    node.attempt.note(trainable_params=trainable(network), n_train=len(train))
    node.log(f"fine-tuning on {len(train)} cases, {protocol.steps} steps")
    batches = Batches(data, train, shape.crop, protocol, streams_of(node), node.device)
    per_epoch = len(train) / protocol.batch
    curves = Curves(node.key, protocol.steps, per_epoch=per_epoch)
    best = _train(
        network, batches, protocol, curves, _validator(node, data, val, shape)
    )
    best.restore(network)
    node.log(f"kept step {best.step}, validation {best.rank}")
    curves.write(node.attempt.path("curves.parquet"))
    save_model(node, network, best_step=best.step)


def _train(
    network: Adapted,
    batches: Batches,
    protocol: Finetune,
    curves: Curves,
    validate: Callable[[Adapted, Finetune], Validation],
) -> BestState:
    optimiser = adamw(network, protocol.lr, weight_decay=protocol.weight_decay)
    descent = Descent(
        optimiser, protocol.lr, protocol.steps, protocol.warmup, protocol.clip
    )
    best = BestState()
    network.train()
    for step in range(protocol.steps):
        images, labels, case_ids = batches.draw()
        loss = descent.step(_objective(network(images), labels), step, case_ids)
        curves.train(step, {"loss": loss})
        done = step + 1
        if done % protocol.val_every == 0 or done == protocol.steps:
            found = validate(network, protocol)
            curves.val(done, {"score": found.score, "loss": found.loss})
            best.offer(network, done, score=found.score, loss=found.loss)
            network.train()
    return best


def _objective(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss: voxel labels (B, D, H, W) or classes (B,)."""
    return (
        F.cross_entropy(logits, labels) if labels.ndim == 1 else dice_ce(logits, labels)
    )


def _validator(
    node: Node, data: TaskData, ids: list[str], shape: Shape
) -> Callable[[Adapted, Finetune], Validation]:
    segmenting = shape.task_kind == "segmentation"
    score = _validate_segmentation if segmenting else _validate_classification
    return lambda network, protocol: score(node, data, ids, shape, network, protocol)


@torch.no_grad()
def _validate_segmentation(
    node: Node,
    data: TaskData,
    ids: list[str],
    shape: Shape,
    network: Adapted,
    protocol: Finetune,
) -> Validation:
    """Mean Dice without background on the network's grid, and the mean of 1 - Dice."""
    network.eval()
    values: list[float] = []
    for case_id in ids:
        image = case_image(data, case_id, node)
        logits = sliding_window(
            network, image, shape.crop, overlap=protocol.val_overlap
        )
        truth = data.cached.label(data.cached.index_of(case_id))
        assert truth is not None  # listing and cache have checked it
        pred = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
        scores = dice(pred, truth, shape.classes)
        values += [s.value for s in scores if s.value is not None]
    mean = float(np.mean(values)) if values else 0.0
    return Validation(mean if values else None, 1 - mean)


@torch.no_grad()
def _validate_classification(
    node: Node,
    data: TaskData,
    ids: list[str],
    shape: Shape,
    network: Adapted,
    protocol: Finetune,
) -> Validation:
    """AUC, macro one-vs-rest, where every class occurs; and the cross-entropy."""
    network.eval()
    logits = class_logits(node, data, ids, shape, network, batch=protocol.batch)
    y = torch.tensor([data.target(case_id) for case_id in ids])
    loss = float(F.cross_entropy(logits, y))
    return Validation(auc(y.numpy(), logits.softmax(dim=1).numpy()).value, loss)
