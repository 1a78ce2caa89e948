"""Fine-tuning: decoder or head trained together with the encoder (METHODS 2.1, 2.6).

A fixed number of steps whatever the label budget, unless the settings ask for epochs or
for an early stop. The weights of the best validation are what is kept; validation looks
at whole volumes, never at augmented crops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...metrics import regions
from ...metrics.classification import auc
from ...metrics.overlap import dice
from ...nn import collective
from ...nn.losses import full_precision
from ...nn.objectives import dice_ce, region_dice
from ...schema.protocols import Finetune
from ...schema.protocols.settings import SlidingSettings
from ...schema.scores import Score
from .. import ranks
from ..checkpoint import save_weights
from ..curves import Curves
from ..data import TaskData
from ..fused import Fused
from ..inference import Windows, most_likely
from ..keep import LAST, keep_of
from ..networks import Model, TaskShape
from ..node import Node
from ..optimise import BestState, Schedule, trainable
from ..patience import Patience
from ..predictor import Labels
from ..training import Objective, Training
from .batches import Batches
from .classify import class_logits
from .fusing import keep_attention, standardise
from .implementation import Implementation
from .predict import case_logits
from .start import build_network, protocol_of, save_model, shape_of, streams_of


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
    shape = shape_of(node.identity["settings"])
    data = node.data()
    train, val = (data.check(node.where["cases"][side]) for side in ("train", "val"))
    protocol = protocol.on(len(train))
    network = build_network(node, shape)
    if protocol.freeze == "encoder":
        network.freeze_encoder()
    if isinstance(network, Fused):
        standardise(node, data, train, shape, network)
    node.attempt.note(trainable_params=trainable(network), n_train=len(train))
    node.log(f"fine-tuning on {len(train)} cases, {protocol.steps} steps")
    batches = Batches(data, train, shape.crop, protocol, streams_of(node), node.device)
    per_epoch = len(train) / protocol.batch
    curves = Curves(node.key, protocol.steps, per_epoch=per_epoch)
    best = _train(
        node, network, batches, protocol, curves, shape,
        _validator(node, data, val, shape),
    )  # fmt: skip
    if ranks.leads() and keep_of(node).adapt == "last":
        save_weights(node.attempt.path(LAST), network.state_dict())
    best.restore(network)
    node.log(f"kept step {best.step}, validation {best.found}")
    if ranks.leads():
        curves.write(node.attempt.path("curves.parquet"))
        save_model(node, network, best_step=best.step)


def _train(
    node: Node,
    network: Model,
    batches: Batches,
    protocol: Finetune,
    curves: Curves,
    shape: TaskShape,
    validate: Callable[[Model, Finetune], Validation],
) -> BestState:
    best = BestState()
    trained = ranks.parallel(network)
    network.train()
    patience = Patience(
        curves, plateau=protocol.plateau, early_stop=protocol.early_stop
    )
    falling = protocol.plateau is not None
    schedule = Schedule(plateau=patience.share if falling else None)
    training = Training(
        node, network, trained, protocol,
        encoder=network.encoder, generators=batches.generators, curves=curves,
        best=best, optimiser=protocol.optimiser, schedule=schedule,
    )  # fmt: skip

    def objective(step: int) -> Objective:  # noqa: ARG001 - every step is alike
        images, labels, drawn = batches.draw()
        return Objective(objective_of(trained(images), labels, shape), drawn)

    def after_step(step: int) -> None:
        done = step + 1
        if done % protocol.val_every == 0 or done == protocol.steps:
            found = validate(network, protocol)
            curves.val(done, {"score": found.score, "loss": found.loss})
            best.offer(network, done, score=found.score, loss=found.loss)
            network.train()

    training.run(objective, after_step, patience.is_over)
    return best


def objective_of(logits: Tensor, labels: Tensor, shape: TaskShape) -> Tensor:
    """Return the loss: labels of voxels (B, *sides), or classes (B,)."""
    if labels.ndim == 1:
        return F.cross_entropy(full_precision(logits), labels)
    if shape.regions:
        return region_dice(logits, labels, shape.regions)
    return dice_ce(logits, labels)


def _validator(
    node: Node, data: TaskData, ids: list[str], shape: TaskShape
) -> Callable[[Model, Finetune], Validation]:
    segmenting = shape.task_kind == "segmentation"
    score = validate_segmentation if segmenting else _validate_classification
    return lambda network, protocol: score(node, data, ids, shape, network, protocol)


@torch.no_grad()
def validate_segmentation(
    node: Node,
    data: TaskData,
    ids: list[str],
    shape: TaskShape,
    network: Model,
    protocol: SlidingSettings,
) -> Validation:
    """Mean Dice, without background, on the network's grid; and the mean of 1 - Dice."""
    network.eval()
    # One row per case and what is scored; each rank fills those of its own cases.
    values = np.zeros((len(ids), len(shape.regions) or shape.classes - 1))
    defined = np.zeros_like(values)
    for row, case_id in enumerate(ids):
        if row % collective.world_size() != collective.rank():
            continue
        windows = Windows(shape.crop, protocol.val_overlap)
        logits = case_logits(node, data, case_id, network, shape, windows)
        truth = data.cached.label(data.cached.index_of(case_id))
        assert truth is not None  # listing and cache have checked it
        for column, score in enumerate(_dice(logits, truth, shape)):
            if score.value is not None:
                values[row, column], defined[row, column] = score.value, 1
    filled = torch.from_numpy(np.stack([values, defined])).to(node.device)
    values, defined = collective.sum_over_ranks(filled).cpu().numpy()
    found = values[defined > 0]
    mean = float(np.mean(found)) if len(found) else 0.0
    return Validation(mean if len(found) else None, 1 - mean)


def _dice(logits: Tensor, truth: Labels, shape: TaskShape) -> list[Score]:
    """Return the Dice of each structure, or region, of a case."""
    if shape.regions:
        found = (logits > 0).to(torch.uint8).cpu().numpy()
        wanted = regions.masks(truth, shape.regions)
        return regions.each(partial(dice, classes=2), found, wanted)
    return dice(most_likely(logits), truth, shape.classes)


@torch.no_grad()
def _validate_classification(
    node: Node,
    data: TaskData,
    ids: list[str],
    shape: TaskShape,
    network: Model,
    protocol: Finetune,
) -> Validation:
    """AUC, macro one-vs-rest, where every class occurs; and the cross-entropy."""
    network.eval()
    logits = class_logits(node, data, ids, shape, network, batch=protocol.batch)
    y = torch.tensor([data.target(case_id) for case_id in ids])
    loss = float(F.cross_entropy(logits, y))
    return Validation(auc(y.numpy(), logits.softmax(dim=1).numpy()).value, loss)


IMPLEMENTATION = Implementation(finetune, keeps=keep_attention)
