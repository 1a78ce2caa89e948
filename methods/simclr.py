"""SimCLR: two views of a region shall have codes alike, and unlike all others.

METHODS 1.3. The 3-D port: crops of 64^3 that share at least half of every axis,
intensity changes, mirrors and quarter turns in the plane; no resampling. A pooled
encoder, a perceptron with batch norm, NT-Xent.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from harness.api import Batch, Loss, Method, TwoViewSettings
from harness.nn.build import build_encoder
from harness.nn.contrast import nt_xent
from harness.nn.projection import ProjectionHead
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class SimCLRSettings(TwoViewSettings):
    """Published settings; sources beside each value."""

    temperature: float = Field(
        0.5,
        gt=0,
        description="of the 3-D port; 0.1 in the ImageNet recipe, METHODS 1.3",
    )
    head_hidden: int = Field(2048, ge=1, description="width of ResNet-50; METHODS 1.3")
    code: int = Field(128, ge=1, description="length of a code; METHODS 1.3")
    head_layers: int = Field(2, ge=1, description="2 or 3; METHODS 1.3")
    weight_decay: float = Field(1e-4, ge=0, description="METHODS 1.3: 1e-4 to 1e-6")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(kind="lars"),
        description="METHODS 1.3; AdamW at lower tiers, chosen here",
    )
    lr: float = Field(0.0375, ge=0, description="0.3 per 256 regions; METHODS 1.3")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {**TwoViewSettings.tiers["tiny"], "head_hidden": 64, "code": 32},
        "small": {
            **TwoViewSettings.tiers["small"], "head_hidden": 256, "code": 64
        },
        "demo": {**TwoViewSettings.tiers["demo"], "head_hidden": 1024},
    }  # fmt: skip


class SimCLR(Method):
    """L = mean_i -log( exp(s_ip / T) / Σ_{j≠i} exp(s_ij / T) ) over the codes of 2B views.

    s is the cosine of two codes, p the other view of i's region.
    """

    Settings = SimCLRSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: SimCLRSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.head = ProjectionHead(
            self.student.pooled_width, settings.head_hidden, settings.code, rng,
            layers=settings.head_layers,
        )  # fmt: skip

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return NT-Xent of two views of each region (B, C, *region)."""
        cfg = self.settings
        x = torch.cat([cfg.views(batch.volumes, cfg.crop, rng) for _ in range(2)])
        codes = self.head(self.student(x, rng=rng).pooled)  # (2B, code)
        first, second = codes.chunk(2)
        loss = nt_xent(first, second, cfg.temperature)
        return Loss(loss, {"nt_xent": loss.detach()})

    def encoder(self) -> nn.Module:
        """Return the encoder; the head is dropped."""
        return self.student
