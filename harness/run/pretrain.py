"""A pretrain node: minimise a loss on unlabelled volumes, export the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..api import Batch, Method, MethodSettings
from ..registry.methods import load_method
from ..schema.errors import DataError
from ..volumes.crops import CropSampler
from .checkpoint import encoder_state, save_weights, write_json
from .curves import Curves
from .data import TaskData
from .node import Node
from .optimise import Descent, adamw, trainable
from .streams import Streams

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
    node.attempt.note(trainable_params=trainable(method), n_train=regions.cases)
    node.log(f"pretraining {node.stem} on {regions.cases} cases, {own.steps} steps")
    _minimise(node, method, own, regions, streams)
    _export(node, method, own, channels=channels)


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

    def sample(self, count: int, rng: torch.Generator) -> Batch:
        """Draw `count` regions (count, C, *size)."""
        drawn = torch.multinomial(self.shares, count, replacement=True, generator=rng)
        parts = [
            sampler.sample(n, rng)
            for index, sampler in enumerate(self.samplers)
            if (n := int((drawn == index).sum()))
        ]
        return Batch(
            torch.cat([part.images for part in parts]),
            tuple(case_id for part in parts for case_id in part.case_ids),
        )


def _minimise(
    node: Node,
    method: Method,
    own: MethodSettings,
    regions: _Regions,
    streams: Streams,
) -> None:
    order = streams.rng("order")
    views = streams.rng("views", node.device)
    optimiser = adamw(method, own.lr, weight_decay=own.weight_decay)
    descent = Descent(optimiser, own.lr, own.steps, own.warmup, own.clip)
    curves = Curves(node.key, own.steps, per_epoch=regions.cases / own.batch)
    method.train()
    for step in range(own.steps):
        drawn = regions.sample(own.batch, order)
        batch = Batch(drawn.volumes.to(node.device), drawn.case_ids)
        method.step = step
        loss = method.loss(batch, views)
        total = descent.step(loss.total, step, batch.case_ids)
        method.after_step(step, own.steps)
        terms = {name: float(value) for name, value in loss.terms.items()}
        curves.train(step, {"loss": total, **terms})
    curves.write(node.attempt.path("curves.parquet"))


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
