"""Encoder with a decoder or a head: what is adapted and then evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.build import build_encoder
from ..nn.decoder import build_decoder
from ..nn.features import Encoder, Features
from ..nn.heads import LinearHead
from ..nn.settings import EncoderSettings
from ..schema.budget import TaskKind
from ..schema.task import Closed, Triple
from .streams import Streams


class Shape(Closed):
    """What an adapt node's identity says of its network."""

    encoder: EncoderSettings
    crop: Triple
    classes: int
    channels: int
    task_kind: TaskKind
    protocol: dict[str, Any]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Shape:
        """Read `settings` of an adapt node's identity."""
        return cls.model_validate(settings)


class Adapted(nn.Module):
    """An encoder and what is trained on top of it; a frozen encoder never trains."""

    encoder: Encoder
    frozen: bool

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__()
        self.frozen = False
        self.encoder = build_encoder(
            shape.encoder, shape.channels, streams.rng("encoder")
        )
        self.encoder.hide_nothing()

    def freeze_encoder(self) -> None:
        """Take the encoder out of training: no gradients, evaluation mode for good."""
        self.frozen = True
        self.encoder.requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Adapted:  # noqa: FBT001, FBT002 (nn.Module)
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def features(self, x: Tensor) -> Features:
        """Return the encoder's features, without a graph where it is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Features = self.encoder(x)
        return features


class Segmenter(Adapted):
    """Encoder and CNN decoder (METHODS 2.1, 2.2): (B, C, *crop) to a logit per voxel."""

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.decoder = build_decoder(
            self.encoder, shape.channels, shape.classes, streams.rng("decoder")
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every voxel."""
        logits: Tensor = self.decoder(x, self.features(x))
        return logits


class Classifier(Adapted):
    """Encoder, its image vector and one linear layer: (B, C, *crop) -> (B, classes).

    METHODS 2.6: the class token where the encoder ends with one, else the average.
    """

    def __init__(self, shape: Shape, streams: Streams) -> None:
        super().__init__(shape, streams)
        self.head = LinearHead(
            self.encoder.pooled_width, shape.classes, streams.rng("head")
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every class."""
        logits: Tensor = self.head(self.features(x).pooled)
        return logits
