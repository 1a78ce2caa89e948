"""A pretrain node: minimise a loss on volumes, with or without labels, export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..api import Batch, LabelledSource, Loss, Method, MethodSettings, build_method
from ..nn.draws import my_rows
from ..nn.features import Encoder, lr_factors
from ..registry.methods import load_method
from ..schema.errors import DataError
from . import collapse, ranks
from .checkpoint import encoder_state, load_weights, save_weights, write_json
from .curves import Curves
from .imported import import_encoder
from .node import Node
from .optimise import Schedule, trainable
from .outputs import save_outputs, tensors_of
from .regions import Regions, on_device, open_sources
from .streams import Streams
from .training import Objective, Training

# Added to a method's own settings in a node's identity; not the method's business.
_ENGINE = ("engine", "channels", "source")


def pretrain(node: Node) -> None:
    """Compute a pretrain node into its attempt's folder.

    Writes encoder.safetensors, encoder.json and curves.parquet. Raises DataError for
    what is wrong with the data and Diverged where the loss is no longer finite.
    """
    kind = load_method(node.where["content"], node.stem)
    if kind.role == "checkpoint":
        import_encoder(node, kind)
        return
    settings = dict(node.identity["settings"])
    channels = int(settings["channels"])
    own = kind.Settings.model_validate(
        {name: value for name, value in settings.items() if name not in _ENGINE}
    )
    if not isinstance(own, MethodSettings):
        msg = f"method {node.stem!r} has nothing to pretrain"
        raise DataError(msg)
    streams = Streams.of_pretraining(node.key)
    labels = settings.get("source")
    source = None if labels is None else LabelledSource(**labels)
    one_channel = "channels" in node.identity["data"]
    regions = Regions(open_sources(node), own, source, one_channel=one_channel)
    method = build_method(kind, own, channels, streams.rng("init"), source)
    method = method.to(node.device)
    if stage := node.identity["inputs"].get("init"):
        _start_from(node, method, str(stage))
    node.attempt.note(trainable_params=trainable(method), n_train=regions.cases)
    node.log(f"pretraining {node.stem} on {regions.cases} cases, {own.steps} steps")
    _minimise(node, method, own, regions, streams)
    if ranks.leads():
        _export(node, method, own, channels=channels)


def _start_from(node: Node, method: Method, stage: str) -> None:
    """Load the encoder of an earlier stage into every encoder of the method.

    Student and teacher both start from it; heads start anew.
    """
    path = node.store.file(stage, "encoder.safetensors")
    for part in method.modules():
        if isinstance(part, Encoder):
            load_weights(part, path, encoder_state(part))
    node.log(f"encoder of {stage[:16]} loaded, all tensors fit")


class _Loss(nn.Module):
    """A method's loss as what a module computes, so that it can run on several ranks."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        return self.method.loss(batch, rng)


def _minimise(
    node: Node,
    method: Method,
    own: MethodSettings,
    regions: Regions,
    streams: Streams,
) -> None:
    order = streams.rng("order")
    views = streams.rng("views", node.device)
    curves = Curves(node.key, own.steps, per_epoch=regions.cases / own.batch)
    network = ranks.parallel(_Loss(method))
    method.train()
    monitor = collapse.Monitor(method)
    training = Training(
        node, method, network, own,
        encoder=method.encoder(), generators={"order": order, "views": views},
        curves=curves,
        schedule=_schedule(method, own),
        optimiser=own.optimiser,
    )  # fmt: skip

    def objective(step: int) -> Objective:
        method.step = step
        drawn = regions.sample(own.batch, my_rows(), order)
        batch = on_device(drawn.batch, node.device)
        loss: Loss = network(batch, views)
        seen = {name: torch.tensor(value) for name, value in monitor.take().items()}
        return Objective(loss.total, drawn.ids, {**loss.terms, **seen})

    training.run(objective, lambda step: method.after_step(step, own.steps))
    if ranks.leads():
        curves.write(node.attempt.path("curves.parquet"))
        if warnings := collapse.warnings(curves.last(collapse.LAST)):
            node.attempt.note(warnings=warnings)
            node.log("; ".join(warnings))


def _schedule(method: Method, own: MethodSettings) -> Schedule:
    factors = lr_factors(method, layer_decay=own.layer_decay, stem=own.stem_lr)
    return Schedule(own.lr_end, own.lr_drops, own.weight_decay_end, factors)


def _export(node: Node, method: Method, own: MethodSettings, *, channels: int) -> None:
    encoder = method.encoder()
    digest = save_weights(
        node.attempt.path("encoder.safetensors"), encoder_state(encoder)
    )
    tasks: Mapping[str, Any] = node.where["tasks"]
    names = [str(source["task"]) for source in node.identity["data"]["sources"]]
    write_json(
        node.attempt.path("encoder.json"),
        {
            "key": node.key,
            "method": node.stem,
            "encoder": own.encoder.model_dump(mode="json"),
            "channels": channels,
            "preprocess": {name: tasks[name]["preprocess"] for name in names},
            "corpus": node.identity["data"],
            "outputs": save_outputs(node, tensors_of(method.outputs())),
            "sha256": digest,
        },
    )
