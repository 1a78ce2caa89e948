"""Models Genesis: undo shuffled voxels, remapped intensities and painted-over parts.

METHODS 1.9. A sample is mirrored (target, too), shuffled inside small windows, mapped
through a monotone curve, and then painted over: inside boxes, or everywhere but in boxes.
Encoder and decoder learn to give back the volume; the encoder is exported. Where the
published code draws windows and boxes one by one, one pass does the whole batch.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MethodSettings, Sides
from harness.nn.build import build_encoder
from harness.nn.corrupt import a_few, boxes, draw_boxes, remap, shuffle_locally
from harness.nn.decoder import build_decoder
from harness.nn.draws import rows
from harness.nn.intensity import sometimes, uniform
from harness.nn.views import random_view
from harness.schema.doublings import doublings
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class GenesisSettings(MethodSettings):
    """Published settings; sources beside each value."""

    crop: Sides = Field(
        (64, 64, 64), description="64x64x32 as published; cubic, chosen here"
    )
    region: Sides = Field((64, 64, 64), description="the crop itself; METHODS 1.9")
    mirror: float = Field(0.4, ge=0, le=1, description="per axis; METHODS 1.9")
    shuffle: float = Field(0.5, ge=0, le=1, description="chance; METHODS 1.9")
    window: float = Field(
        0.1, gt=0, le=1, description="largest window, share of a side; METHODS 1.9"
    )
    passes: int = Field(
        2, ge=1, description="tilings; 10,000 windows touch a voxel twice; METHODS 1.9"
    )
    curve: float = Field(0.9, ge=0, le=1, description="chance of a remap; METHODS 1.9")
    falling: float = Field(0.5, ge=0, le=1, description="decreasing; METHODS 1.9")
    paint: float = Field(0.9, ge=0, le=1, description="chance; METHODS 1.9")
    inside: float = Field(
        0.2, ge=0, le=1, description="painting inside boxes, else outside; METHODS 1.9"
    )
    most_boxes: int = Field(5, ge=2, description="METHODS 1.9")
    next_box: float = Field(0.95, ge=0, le=1, description="chance; METHODS 1.9")
    box: tuple[float, float] = Field(
        (1 / 6, 1 / 3), description="side of a painted box, of the crop's; METHODS 1.9"
    )
    kept_box: tuple[float, float] = Field(
        (3 / 7, 4 / 7),
        description="side of a kept window: 1 - 4/7 to 1 - 3/7; METHODS 1.9",
    )
    fill: Literal["noise", "zero"] = Field(
        "noise", description="U(0, 1); zero cuts out; METHODS 1.9"
    )
    objective: Literal["mse", "l1"] = Field("mse", description="METHODS 1.9")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(kind="sgd"),
        description="METHODS 1.9; AdamW at lower tiers, chosen here",
    )
    lr: float = Field(
        1.0, ge=0, description="of the published U-Net; METHODS 1.9, its halving is not"
    )
    weight_decay: float = Field(
        0.0, ge=0,
        description="METHODS 1.9 names none; at a rate of 1 any would eat the weights",
    )  # fmt: skip

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"], "region": (32, 32, 32),
            "weight_decay": 0.05,
        },
        "small": {
            **MethodSettings.tiers["small"], "region": (32, 32, 32),
            "weight_decay": 0.05,
        },
        "demo": {
            **MethodSettings.tiers["demo"], "region": (64, 64, 64),
            "weight_decay": 0.05,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _can_be_decoded(self) -> Self:
        if self.encoder.kind == "vit":
            doublings(self.encoder.patch)
        return self


class ModelsGenesis(Method):
    """L = mean (x - x̂)² over the whole volume, x̂ = g(f(corrupted x))."""

    Settings = GenesisSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: GenesisSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.decoder = build_decoder(self.student, channels, channels, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the restoration error of one crop of each region."""
        cfg = self.settings
        x = random_view(batch.volumes, cfg.crop, rng)
        for axis in range(2, x.ndim):
            if cfg.mirror > 0:
                x = sometimes(x, x.flip(axis), cfg.mirror, rng)
        seen = self.corrupt(x, rng)
        x_hat = self.decoder(seen, self.student(seen, rng=rng))
        gap = x_hat - x
        loss = gap.square().mean() if cfg.objective == "mse" else gap.abs().mean()
        return Loss(loss, {"restoration": loss.detach()})

    def corrupt(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Shuffle, remap and paint each sample of (B, C, *crop), each with its chance."""
        cfg, b = self.settings, len(x)
        if cfg.shuffle > 0:
            shuffled = shuffle_locally(x, rng, share=cfg.window, passes=cfg.passes)
            x = sometimes(x, shuffled, cfg.shuffle, rng)
        if cfg.curve > 0:
            controls = rows(
                b, lambda n: torch.rand((n, 2, 2), generator=rng, device=rng.device)
            )
            falling = uniform(b, 0.0, 1.0, rng) < cfg.falling
            x = sometimes(x, remap(x, controls, falling), cfg.curve, rng)
        if cfg.paint > 0:
            x = sometimes(x, self._paint(x, rng), cfg.paint, rng)
        return x

    def _paint(self, x: Tensor, rng: torch.Generator) -> Tensor:
        cfg, b, sides = self.settings, len(x), x.shape[2:]
        noise = rows(
            b,
            lambda n: torch.rand((n, *x.shape[1:]), generator=rng, device=rng.device),
        ).to(x)
        blank = noise if cfg.fill == "noise" else torch.zeros_like(x)
        drawn = [
            boxes(
                *draw_boxes(b, cfg.most_boxes, sides, *limits, rng),
                a_few(b, cfg.most_boxes, cfg.next_box, rng),
                sides,
            ).to(x.device)
            for limits in (cfg.box, cfg.kept_box)
        ]
        inside = (uniform(b, 0.0, 1.0, rng) < cfg.inside).to(x.device)
        painted = torch.where(inside.view(-1, *[1] * (x.ndim - 1)), drawn[0], ~drawn[1])
        return torch.where(painted, blank, x)

    def encoder(self) -> nn.Module:
        """Return the encoder; downstream decoders start anew in every arm."""
        return self.student
