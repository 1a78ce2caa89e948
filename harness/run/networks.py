"""Encoder with a decoder or a head: what is adapted and then evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..nn.adapter import STRIDES, Adapter
from ..nn.build import build_encoder
from ..nn.channels import for_encoder, merges, together
from ..nn.decoder import PyramidDecoder, build_decoder
from ..nn.features import Encoder, Features, Layer, pad_to
from ..nn.heads import LinearHead
from ..nn.linear_decoder import LinearDecoder
from ..nn.settings import EncoderSettings
from ..nn.vit import ViT
from ..schema.budget import TaskKind
from ..schema.task import Closed, Sides
from .streams import Streams


class TaskShape(Closed):
    """What an adapt node's identity says of any network.

    regions: label values of each region, where the outputs of a segmentation are regions
    that may overlap; none: they are background and structures.
    """

    crop: Sides
    classes: int
    channels: int
    regions: tuple[tuple[int, ...], ...] = ()
    task_kind: TaskKind
    protocol: dict[str, Any]


class Shape(TaskShape):
    """The same of a network on one encoder.

    encoder_channels: what the encoder is made for, where that is not `channels` of the
    task: one, and each channel of an image passes through it alone; or several, and the
    one channel of a grey image is repeated.
    """

    encoder: EncoderSettings
    encoder_channels: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Shape:
        """Read `settings` of an adapt node's identity."""
        return cls.model_validate(settings)

    @property
    def takes(self) -> int:
        """How many channels the encoder is made for."""
        return self.encoder_channels or self.channels

    @property
    def separate(self) -> int:
        """How many channels pass through the encoder alone; 1 where it takes all."""
        return self.channels if self.takes == 1 else 1


class Model(nn.Module):
    """What a protocol trains: `encoder`, which may be frozen, and what is on top of it.

    A frozen encoder never trains.
    """

    encoder: nn.Module
    frozen: bool = False

    def freeze_encoder(self) -> None:
        """Take the encoder out of training: no gradients, evaluation mode for good."""
        self.frozen = True
        self.encoder.requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 (nn.Module)
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def encoding(self) -> torch.set_grad_enabled:
        """Within this context a frozen encoder leaves no graph."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen)


class Adapted(Model):
    """One encoder and what is trained on top of it.

    takes: how many channels the encoder is made for; separate: how many pass through it
    alone (METHODS 2.9).
    """

    encoder: Encoder
    takes: int
    separate: int

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__()
        self.takes, self.separate = shape.takes, shape.separate
        self.encoder = build_encoder(shape.encoder, shape.takes, streams.rng("encoder"))
        self.encoder.hide_nothing()

    def features(self, x: Tensor) -> Features:
        """Return the encoder's features, without a graph where it is frozen.

        x: (B, C, *sides). Where channels pass alone, maps have B C rows, the channels of
        a case in a row, and `pooled` has them side by side, (B, C width).
        """
        with self.encoding():
            features: Features = self.encoder(for_encoder(x, self.takes))
        if self.separate == 1:
            return features
        return replace(features, pooled=together(features.pooled, self.separate))

    def last_layers(self, x: Tensor, count: int) -> tuple[Layer, ...]:
        """Return the encoder's last layers, as `features` returns features.

        Where channels pass alone, vectors have them side by side, as `pooled` has.
        """
        with self.encoding():
            layers = self.encoder.last_layers(for_encoder(x, self.takes), count)
        if self.separate == 1:
            return layers
        return tuple(
            Layer(each.map, together(each.vector, self.separate)) for each in layers
        )


class Segmenter(Adapted):
    """Encoder and CNN decoder (METHODS 2.1, 2.2): (B, C, *crop) to a logit per voxel."""

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.decoder = build_decoder(
            self.encoder, shape.channels, shape.classes, streams.rng("decoder")
        )
        joined = self.encoder.widths[-self.decoder.joins :]
        self.merges = merges(joined, self.separate, streams.rng("merge"))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every voxel."""
        features = self.features(x)
        maps = features.maps[-len(self.merges) :]
        pairs = zip(self.merges, maps, strict=True)
        merged = tuple(merge(each) for merge, each in pairs)
        logits: Tensor = self.decoder(x, replace(features, maps=merged))
        return logits


class AdapterSegmenter(Adapted):
    """A frozen ViT, an adapter around it and a decoder (METHODS 2.3).

    (B, C, *crop) to a logit per voxel. The ViT is frozen for good: what is injected
    passes through its blocks, so they have a graph, and their weights no gradient.
    """

    encoder: ViT

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.freeze_encoder()
        self.adapter = Adapter(
            self.encoder, shape.channels, streams.rng("adapter"),
            takes=self.takes, as_released=shape.protocol["as_released"],
        )  # fmt: skip
        self.decoder = PyramidDecoder(
            self.adapter.width, len(STRIDES), shape.channels, shape.classes,
            streams.rng("decoder"), dims=self.encoder.dims,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every voxel."""
        padded = pad_to(x, self.adapter.multiple)  # ViT and prior see the same voxels
        logits: Tensor = self.decoder(padded, self.adapter(self.encoder, padded))
        return logits[:, :, *(slice(side) for side in x.shape[2:])]


class Classifier(Adapted):
    """Encoder, its image vector and one linear layer: (B, C, *crop) -> (B, classes).

    METHODS 2.6: the class token where the encoder ends with one, else the average. Of
    channels that pass alone the vectors stand side by side, without a layer between
    (chosen here: a linear probe then stays linear).
    """

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        width = self.encoder.pooled_width * self.separate
        self.head = LinearHead(width, shape.classes, streams.rng("head"))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every class."""
        logits: Tensor = self.head(self.features(x).pooled)
        return logits


class LinearSegmenter(Adapted):
    """A frozen encoder, its last layers and a linear decoder (METHODS 2.4)."""

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.freeze_encoder()
        self.layers = int(shape.protocol["layers"])
        self.decoder = LinearDecoder(
            self.encoder.layer_widths[-self.layers :],
            self.encoder.layer_strides[-self.layers :],
            self.separate, shape.classes, streams.rng("decoder"),
            dims=self.encoder.dims,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every voxel."""
        maps = [each.map for each in self.last_layers(x, self.layers)]
        logits: Tensor = self.decoder(maps, x.shape[2:])
        return logits
