"""BYOL: predict the code that a slowly moving copy gives another view; no negatives.

METHODS 1.6. Views are those of the 3-D port of SimCLR (METHODS 1.3). Batch norm in the
heads bears the method, so the target's uses the statistics of its batch, too.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, TwoViewSettings
from harness.nn.batchnorm import use_batch_statistics
from harness.nn.build import build_encoder
from harness.nn.contrast import negative_cosine
from harness.nn.ema import Teacher, momentum_at
from harness.nn.instance_views import InstanceViews
from harness.nn.projection import ProjectionHead
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class BYOLSettings(TwoViewSettings):
    """Published settings; sources beside each value."""

    head_hidden: int = Field(4096, ge=1, description="METHODS 1.6")
    code: int = Field(256, ge=1, description="METHODS 1.6")
    momentum: float = Field(
        0.99, ge=0, le=1, description="to 1 by cosine, of up to 300 epochs; METHODS 1.6"
    )
    weight_decay: float = Field(1.5e-6, ge=0, description="METHODS 1.6")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(kind="lars"),
        description="METHODS 1.6; AdamW at lower tiers, chosen here",
    )
    lr: float = Field(0.025, ge=0, description="0.2 per 256 regions; METHODS 1.6")
    second_views: InstanceViews | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="of the second view, asymmetric as METHODS 1.6 says; none: as the "
        "first, chosen here (docs/decisions/0018)",
    )

    @model_validator(mode="after")
    def _second_views_fit(self) -> Self:
        if self.second_views is not None:
            self.second_views.check(self.crop)
        return self

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
    """Encoder and projection: what online and target network have in common."""

    def __init__(
        self, settings: BYOLSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.encoder.hide_nothing()
        self.project = ProjectionHead(
            self.encoder.pooled_width, settings.head_hidden, settings.code, rng
        )

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        codes: Tensor = self.project(self.encoder(x, rng=rng).pooled)
        return codes


class BYOL(Method):
    """L = 2 - 2 cos(q(z1), z2') and the same with views exchanged, summed.

    z = g(f(v)) of the online network, z' that of the target, a moving average of it
    without gradient; q predicts.
    """

    Settings = BYOLSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: BYOLSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.online = _Branch(settings, channels, rng)
        self.predict = ProjectionHead(
            settings.code, settings.head_hidden, settings.code, rng
        )
        self.teacher = Teacher(self.online)
        use_batch_statistics(self.teacher)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the symmetric loss of two views of each region (B, C, *region)."""
        cfg = self.settings
        one, two = (
            views(batch.volumes, cfg.crop, rng)
            for views in (cfg.views, cfg.second_views or cfg.views)
        )
        # A view at a time, so that batch norm sees one view's statistics, as published.
        q1, q2 = (self.predict(self.online(x, rng)) for x in (one, two))
        z1, z2 = (self.teacher(x) for x in (one, two))
        loss = negative_cosine(q1, z2) + negative_cosine(q2, z1)
        return Loss(loss, {"cosine": loss.detach()})

    def after_step(self, step: int, total: int) -> None:
        """Move the target once per optimiser step."""
        self.teacher.update(
            self.online, momentum_at(step, total, self.settings.momentum)
        )

    def encoder(self) -> nn.Module:
        """Return the online encoder."""
        return self.online.encoder
