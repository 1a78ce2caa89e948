"""MoCo v3: a query shall find its key among the keys of the batch; no queue.

METHODS 1.5. Keys come from a moving average of the query network. With a ViT the patch
embedding stays as it was drawn, which keeps training from falling apart. Views are those
of the 3-D port of SimCLR (METHODS 1.3).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, TwoViewSettings
from harness.nn.batchnorm import use_batch_statistics
from harness.nn.build import build_encoder
from harness.nn.contrast import info_nce
from harness.nn.ema import Teacher, momentum_at
from harness.nn.projection import ProjectionHead
from harness.nn.settings import EncoderSettings, ViTSettings
from harness.schema.task import Tier


class MoCoV3Settings(TwoViewSettings):
    """Published settings; sources beside each value."""

    encoder: EncoderSettings = Field(
        default_factory=ViTSettings, description="its own paper's; METHODS 1.5"
    )
    temperature: float = Field(
        0.2, gt=0, description="of a ViT; 1.0 of a ResNet, METHODS 1.5"
    )
    head_hidden: int = Field(4096, ge=1, description="METHODS 1.5")
    code: int = Field(256, ge=1, description="METHODS 1.5")
    freeze_stem: bool | None = Field(
        None,
        description="keep the patch embedding as drawn; none: of a ViT, METHODS 1.5",
    )
    momentum: float = Field(0.99, ge=0, le=1, description="to 1 by cosine; METHODS 1.5")
    weight_decay: float = Field(0.1, ge=0, description="METHODS 1.5")
    lr: float = Field(1.875e-5, ge=0, description="1.5e-4 per 256 regions; METHODS 1.5")
    warmup: int = Field(33_333, ge=0, description="40 of 300 epochs; METHODS 1.5")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **TwoViewSettings.tiers["tiny"], "head_hidden": 64, "code": 32,
            "momentum": 0.9,
        },
        "small": {
            **TwoViewSettings.tiers["small"], "head_hidden": 256, "code": 64
        },
        "demo": {**TwoViewSettings.tiers["demo"], "head_hidden": 1024},
    }  # fmt: skip


class _Branch(nn.Module):
    """Encoder and projection: what query and key network have in common."""

    def __init__(
        self, settings: MoCoV3Settings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.encoder.hide_nothing()
        plain = settings.encoder.kind == "vit"
        self.project = ProjectionHead(
            self.encoder.pooled_width, settings.head_hidden, settings.code, rng,
            layers=3 if plain else 2, last_norm=True,
        )  # fmt: skip
        freeze = plain if settings.freeze_stem is None else settings.freeze_stem
        if freeze:
            for parameter in self.encoder.stem.parameters():
                parameter.requires_grad = False

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        codes: Tensor = self.project(self.encoder(x, rng=rng).pooled)
        return codes


class MoCoV3(Method):
    """L = 2T CE(q1·k2 / T, own key) and the same with views exchanged, summed."""

    Settings = MoCoV3Settings
    encoders: ClassVar[tuple[str, ...]] = ("vit", "swin", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: MoCoV3Settings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.query = _Branch(settings, channels, rng)
        self.predict = ProjectionHead(
            settings.code, settings.head_hidden, settings.code, rng, last_norm=True
        )
        self.teacher = Teacher(self.query)
        use_batch_statistics(self.teacher)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the symmetric loss of two views of each region (B, C, *region)."""
        cfg = self.settings
        one, two = (cfg.views(batch.volumes, cfg.crop, rng) for _ in range(2))
        q1, q2 = (self.predict(self.query(x, rng)) for x in (one, two))
        k1, k2 = (self.teacher(x) for x in (one, two))
        scale = 2 * cfg.temperature
        loss = scale * (
            info_nce(q1, k2, cfg.temperature) + info_nce(q2, k1, cfg.temperature)
        )
        return Loss(loss, {"info_nce": loss.detach()})

    def after_step(self, step: int, total: int) -> None:
        """Move the key network."""
        self.teacher.update(
            self.query, momentum_at(step, total, self.settings.momentum)
        )

    def encoder(self) -> nn.Module:
        """Return the query encoder."""
        return self.query.encoder
