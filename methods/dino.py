"""DINO: agree with an EMA teacher on the whole image, from small parts of it.

METHODS 1.14. The student sees two large and several small views, the teacher the large
ones; each view of the student predicts the teacher's prototypes for every other large
view. The image vector is the class token of a ViT and the average of the last stage of
other encoders. Centring and sharpening keep the teacher from collapsing.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MultiCropSettings
from harness.nn.build import build_encoder
from harness.nn.distil import cross_view_ce
from harness.nn.ema import Teacher, momentum_at
from harness.schema.bounds import REGIONS, SEVERAL


class DINOSettings(MultiCropSettings):
    """Published settings; sources beside each value."""

    prototypes: Annotated[int, SEVERAL] = Field(65_536, description="K; METHODS 0")
    batch: Annotated[int, REGIONS] = Field(
        64, description="chosen here; 1024 images in DINO"
    )
    lr: float = Field(1.25e-4, ge=0, description="5e-4 per 256 images; METHODS 1.14")
    lr_end: float = Field(1e-6, ge=0, description="METHODS 1.14")
    weight_decay: float = Field(0.04, ge=0, description="METHODS 1.14")
    weight_decay_end: float = Field(0.4, ge=0, description="cosine; METHODS 1.14")
    warmup: int = Field(25_000, ge=0, description="10 of 100 epochs; METHODS 1.14")
    clip: float = Field(3.0, gt=0, description="gradient norm; METHODS 1.14")


class _Branch(nn.Module):
    """Encoder and head: what student and teacher have in common."""

    def __init__(
        self, settings: DINOSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.encoder.hide_nothing()
        self.head = settings.head(self.encoder.pooled_width, rng)

    def forward(
        self, views: Tensor, rng: torch.Generator | None = None, *, rests: bool = False
    ) -> Tensor:
        """Return logits (views, K); rests: no gradient for the prototypes."""
        logits: Tensor = self.head(self.encoder(views, rng=rng).pooled, rests=rests)
        return logits


class DINO(Method):
    """L = 1 / pairs Σ_t Σ_{s≠t} H(P_t(x_t), P_s(x_s)), t large views, s all views."""

    Settings = DINOSettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("vit", "swin", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(
        self, settings: DINOSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Branch(settings, channels, rng)
        self.teacher = Teacher(self.student)
        self.targets = settings.targets()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the cross-view cross-entropy of 2 large and L small views.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        cfg, b = self.settings, len(batch.volumes)
        large, small = cfg.cut_views(batch.volumes, rng)
        rests = cfg.rests(self.step)
        z_s = self.student(large, rng, rests=rests)  # (2B, K)
        if len(small):
            z_s = torch.cat([z_s, self.student(small, rng, rests=rests)])
        z_t = self.teacher(large)
        p_t = self.targets(z_t, cfg.temperature(self.step))
        loss = cross_view_ce(
            z_s.view(-1, b, cfg.prototypes), p_t.view(2, b, -1), cfg.student_temp
        )
        return Loss(loss, {"dino": loss.detach()})

    def after_step(self, step: int, total: int) -> None:
        """Move the centre and the teacher; `step` is global (0-based)."""
        self.targets.update()
        momentum = momentum_at(step, total, self.settings.momentum)
        self.teacher.update(self.student, momentum)

    def encoder(self) -> nn.Module:
        """Return the teacher's encoder, as DINO does (METHODS 0)."""
        return self.teacher.encoder
