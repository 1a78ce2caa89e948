"""Rotation prediction: tell by which quarter turns a crop was turned.

METHODS 1.7. Four turns in the plane of the last two axes (Tang, S4), ten (none, and three
about each axis) or all 24 of the cube. Volumes lie in one orientation (RAS) when they
come here. A table, padding or the edge of the field of view can give a turn away.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from harness.api import Batch, Loss, Method, MethodSettings
from harness.nn.build import build_encoder
from harness.nn.draws import rows
from harness.nn.heads import LinearHead
from harness.nn.orient import Turn, about_axes, in_plane, of_the_cube, turn_each
from harness.nn.views import random_view
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class RotationSettings(MethodSettings):
    """Published settings; sources beside each value."""

    ways: Literal[4, 10, 24] = Field(
        4, description="4 in the plane (S4), 10 about axes, 24 of the cube; METHODS 1.7"
    )
    all_turns: bool = Field(
        default=False,
        description="every turn of each crop, as the 2-D original does with its four, "
        "instead of one drawn; METHODS 1.7. Multiplies the batch by `ways`",
    )
    weight_decay: float = Field(1e-4, ge=0, description="METHODS 1.7")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(kind="sgd"),
        description="METHODS 1.7; AdamW at lower tiers, chosen here",
    )
    lr: float = Field(0.2, ge=0, description="METHODS 1.7")
    lr_drops: tuple[float, ...] = Field(
        (3 / 7, 5 / 7), description="epochs 30 and 50 of 70; METHODS 1.7"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": MethodSettings.tiers["tiny"],
        "small": {**MethodSettings.tiers["small"], "batch": 16},
        "demo": MethodSettings.tiers["demo"],
    }

    @model_validator(mode="after")
    def _turns_fit(self) -> Self:
        dims = self.encoder.dims
        if self.ways != 4 and dims == 2:
            msg = f"ways: {self.ways} needs volumes; an image has 4 quarter turns"
            raise ValueError(msg)
        turned = self.crop if self.ways != 4 else self.crop[-2:]
        if len(set(turned)) > 1:
            which = "last two sides" if self.ways == 4 else "sides"
            side = min(turned)
            msg = (
                f"rotation needs equal {which} of the crop, not {tuple(self.crop)}: "
                f"the nearest has {side}"
            )
            raise ValueError(msg)
        return self


class Rotation(Method):
    """L = CE(w·f(turn_k(x)), k), f pooled."""

    Settings = RotationSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: RotationSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.head = LinearHead(self.student.pooled_width, settings.ways, rng)
        self.turns = self._turns()

    def _turns(self) -> tuple[Turn, ...]:
        if self.settings.ways == 4:
            return in_plane(self.settings.encoder.dims)
        return about_axes() if self.settings.ways == 10 else of_the_cube()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the cross-entropy of turns of one crop of each region."""
        cfg = self.settings
        x = random_view(batch.volumes, cfg.crop, rng)
        if cfg.all_turns:
            label = torch.arange(cfg.ways).repeat_interleave(len(x))
            x = x.repeat(cfg.ways, *[1] * (x.ndim - 1))
        else:
            label = rows(
                len(x),
                lambda n: torch.randint(
                    0, cfg.ways, (n,), generator=rng, device=rng.device
                ),
            )
        label = label.to(x.device)
        turned = turn_each(x, label, self.turns)
        logits = self.head(self.student(turned, rng=rng).pooled)
        loss = functional.cross_entropy(logits, label)
        right = (logits.argmax(dim=1) == label).float().mean()
        return Loss(loss, {"ce": loss.detach(), "accuracy": right})

    def encoder(self) -> nn.Module:
        """Return the encoder; the head is dropped."""
        return self.student
