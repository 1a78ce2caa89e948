"""Several encoders whose image vectors are joined (METHODS 1.21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..api import FusionSettings
from ..nn.fusion import Fusion
from ..nn.settings import EncoderSettings
from ..schema.task import Closed
from .networks import Adapted, Model, Shape, TaskShape
from .streams import Streams


class Member(Closed):
    """One of the encoders, as `Shape` says it."""

    encoder: EncoderSettings
    encoder_channels: int | None = None


class FusedShape(TaskShape):
    """What an adapt node's identity says of a fusion."""

    fusion: FusionSettings
    members: tuple[Member, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> FusedShape:
        """Read `settings` of an adapt node's identity."""
        return cls.model_validate(settings)

    def shape_of(self, member: Member) -> Shape:
        """Return what the identity would say of a network on one encoder alone."""
        own = self.model_dump(exclude={"fusion", "members"})
        return Shape.model_validate({**own, **member.model_dump()})


class Fused(Model):
    """Encoders and the head that joins them: (B, C, *crop) to a logit per class.

    An encoder's vector is its class token, of its last blocks side by side, or the mean
    of its bottleneck where it ends with none.
    """

    encoder: nn.ModuleList

    def __init__(self, shape: FusedShape, streams: Streams) -> None:
        super().__init__()
        own = shape.fusion
        self.encoder = nn.ModuleList(
            Adapted(shape.shape_of(member), streams) for member in shape.members
        )
        self.last_blocks, self.standardises = own.last_blocks, own.standardise
        self.widths = tuple(self._width(part) for part in self.parts)
        self.fusion = Fusion(
            self.widths, shape.classes, streams.rng("head"),
            tokens=own.tokens if own.attention == "self" else None, width=own.width,
            heads=own.heads, dropout=own.dropout,
        )  # fmt: skip

    @property
    def parts(self) -> list[Adapted]:
        """The encoders in the order of `of`."""
        return [part for part in self.encoder if isinstance(part, Adapted)]

    def vectors(self, x: Tensor) -> list[Tensor]:
        """Return each encoder's image vector, (B, widths[m])."""
        with self.encoding():
            return [self._vector(part, x) for part in self.parts]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of every class."""
        logits: Tensor = self.fusion(self.vectors(x))
        return logits

    @torch.no_grad()
    def standardise(self, joined: Tensor) -> None:
        """Learn scales from the training cases' vectors side by side, (n, sum widths)."""
        self.fusion.learn_scales(torch.split(joined, list(self.widths), dim=1))

    def _blocks(self, part: Adapted) -> int:
        if not part.encoder.ends_with_class:
            return 1
        return min(self.last_blocks, len(part.encoder.layer_widths))

    def _width(self, part: Adapted) -> int:
        return part.encoder.pooled_width * part.separate * self._blocks(part)

    def _vector(self, part: Adapted, x: Tensor) -> Tensor:
        if not part.encoder.ends_with_class:
            return part.features(x).pooled
        layers = part.last_layers(x, self._blocks(part))
        return torch.cat([each.vector for each in layers], dim=1)
