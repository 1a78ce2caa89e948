"""A pretrain node: minimise a loss on unlabelled volumes, export the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ..api import Batch, Loss, Method, MethodSettings
from ..nn.draws import my_rows
from ..nn.features import Encoder, lr_factors
from ..registry.methods import load_method
from ..schema.errors import DataError
from ..volumes.crops import Crops, CropSampler
from . import ranks
from .checkpoint import encoder_state, load_weights, save_weights, write_json
from .collapse import Monitor
from .curves import Curves
from .data import TaskData
from .node import Node
from .optimise import Schedule, trainable
from .streams import Streams
from .training import Objective, Training

# Added to a method's own settings in a node's identity; not the method's business.
_ENGINE = ("engine", "channels")


def pretrain(node: Node) -> None:
    """Compute a pretrain node into its attempt's folder.

    Writes encoder.safetensors, encoder.json and curves.parquet. Raises DataError for
    what is wrong with the data and Diverged where the loss is no longer finite.
    """
    settings = dict(node.identity["settings"])
    channels = int(settings["channels"])
    kind = load_method(node.where["content"], node.stem)
    own = kind.Settings.model_validate(
        {name: value for name, value in settings.items() if name not in _ENGINE}
    )
    if not isinstance(own, MethodSettings):
        msg = f"method {node.stem!r} has nothing to pretrain"
        raise DataError(msg)
    streams = Streams.of_pretraining(node.key)
    regions = _Regions(_sources(node), own.region)
    method = kind(own, channels, streams.rng("init")).to(node.device)
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


def _sources(node: Node) -> list[tuple[TaskData, list[str]]]:
    """Open what the corpus is made of: (data, case ids) of each source."""
    planned = node.identity["data"]["sources"]
    listed = node.where["cases"]["sources"]
    opened = []
    for source, ids in zip(planned, listed, strict=True):
        data = node.open(str(source["task"]), str(source["fingerprint"]))
        if data.cached.channels != node.identity["settings"]["channels"]:
            msg = (
                f"task {data.name!r} has {data.cached.channels} channels, other than the "
                "first source of the corpus: pretrain on sources with equal channels"
            )
            raise DataError(msg)
        opened.append((data, data.check(ids["cases"])))
    return opened


class _Regions:
    """Draws regions from all sources; every case is equally likely."""

    def __init__(
        self, sources: Sequence[tuple[TaskData, list[str]]], size: Sequence[int]
    ) -> None:
        depth, height, width = size  # planning refused an encoder for images
        self.samplers = [
            CropSampler(data.cached, ids, (depth, height, width), labels=False)
            for data, ids in sources
        ]
        shares = torch.tensor([float(len(ids)) for _, ids in sources])
        self.cases = int(shares.sum())
        self.shares = shares

    def sample(self, count: int, part: slice, rng: torch.Generator) -> _Drawn:
        """Draw `count` regions and return those of `part`, (n, C, *size)."""
        source = torch.multinomial(self.shares, count, replacement=True, generator=rng)
        start, stop, _ = part.indices(count)
        parts: list[Crops] = []
        ids: list[str] = []
        first = 0
        for index, sampler in enumerate(self.samplers):
            n = int((source == index).sum())
            if n:
                mine = slice(max(0, start - first), max(0, stop - first))
                parts.append(sampler.sample(n, rng, mine))
                ids += parts[-1].drawn
            first += n
        batch = Batch(
            torch.cat([part.images for part in parts]),
            tuple(case_id for part in parts for case_id in part.case_ids),
        )
        return _Drawn(batch, tuple(ids))


class _Drawn(NamedTuple):
    """A share of a batch, and the cases of the whole batch."""

    batch: Batch
    ids: tuple[str, ...]


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
    regions: _Regions,
    streams: Streams,
) -> None:
    order = streams.rng("order")
    views = streams.rng("views", node.device)
    curves = Curves(node.key, own.steps, per_epoch=regions.cases / own.batch)
    network = ranks.parallel(_Loss(method))
    method.train()
    monitor = Monitor(method, own.steps)
    training = Training(
        node, method, network, own,
        encoder=method.encoder(), generators={"order": order, "views": views},
        curves=curves,
        schedule=_schedule(method, own),
    )  # fmt: skip

    def objective(step: int) -> Objective:
        method.step = step
        drawn = regions.sample(own.batch, my_rows(), order)
        batch = Batch(drawn.batch.volumes.to(node.device), drawn.batch.case_ids)
        loss: Loss = network(batch, views)
        seen = {name: torch.tensor(value) for name, value in monitor.take().items()}
        return Objective(loss.total, drawn.ids, {**loss.terms, **seen})

    training.run(objective, lambda step: method.after_step(step, own.steps))
    if ranks.leads():
        curves.write(node.attempt.path("curves.parquet"))
        if warnings := monitor.warnings():
            node.attempt.note(warnings=warnings)
            node.log("; ".join(warnings))


def _schedule(method: Method, own: MethodSettings) -> Schedule:
    factors = lr_factors(method, layer_decay=own.layer_decay, stem=own.stem_lr)
    return Schedule(own.lr_end, own.weight_decay_end, factors)


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
            "sha256": digest,
        },
    )
