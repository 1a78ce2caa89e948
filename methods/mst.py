"""MST: DINO whose student restores what it did not see of the least attended patches.

METHODS 1.17. The teacher's attention names the patches that it looks at least; some of
them are replaced by a token in the student's large views. Beside DINO's agreement, a
convolutional decoder restores the whole view from the student's last map. The masked
share is small, so that what matters stays visible. For the arm that is compared with
other guided masks at one ratio, see mst_controlled.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MultiCropSettings
from harness.nn.build import build_encoder
from harness.nn.distil import cross_view_ce
from harness.nn.ema import Teacher, momentum_at
from harness.nn.features import Features
from harness.nn.masking import attended_units, uniform_scores
from harness.nn.restoring import RestoringDecoder
from harness.nn.settings import EncoderSettings, ViTSettings, check_guidance
from harness.schema.bounds import REGIONS


class MSTSettings(MultiCropSettings):
    """Published settings; sources beside each value."""

    encoder: EncoderSettings = Field(
        default_factory=ViTSettings, description="as DINO, a ViT; METHODS 1.17"
    )
    quantile: float = Field(
        0.125,
        gt=0,
        lt=1,
        description="share of patches that are the least attended; METHODS 1.17",
    )
    mask_chance: float = Field(
        0.1, gt=0, le=1, description="of each of these; unverified, METHODS 1.17"
    )
    image_weight: float = Field(1.0, ge=0, description="λ1; METHODS 1.17")
    restore_weight: float = Field(1.0, ge=0, description="λ2; METHODS 1.17")
    batch: Annotated[int, REGIONS] = Field(64, description="chosen here")
    lr: float = Field(1.25e-4, ge=0, description="as DINO; METHODS 1.14")
    lr_end: float = Field(1e-6, ge=0, description="as DINO; METHODS 1.14")
    weight_decay: float = Field(0.04, ge=0, description="as DINO; METHODS 1.14")
    weight_decay_end: float | None = Field(
        0.4, ge=0, description="as DINO; METHODS 1.14"
    )
    warmup: int = Field(
        25_000, ge=0, description="10 of 100 epochs, as DINO; METHODS 1.14"
    )

    @model_validator(mode="after")
    def _mask_can_be_guided(self) -> Self:
        check_guidance(self.encoder)
        return self


@dataclass(frozen=True)
class _Seen:
    """Image logits (B, K) and the encoder's features."""

    image: Tensor
    features: Features


class _Branch(nn.Module):
    """Encoder and head: what student and teacher have in common."""

    def __init__(
        self, settings: MSTSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.head = settings.head(self.encoder.cls_width, rng)

    def forward(
        self,
        views: Tensor,
        hidden: Tensor | None = None,
        rng: torch.Generator | None = None,
        *,
        rests: bool = False,
    ) -> _Seen:
        features: Features = self.encoder(views, mask_units=hidden, rng=rng)
        return _Seen(self.head(features.cls, rests=rests), features)


class MST(Method):
    """L = λ1 / pairs Σ_t Σ_{s≠t} H(P_t(x_t), P_s(x̃_s)) + λ2 mean |x - x̂|.

    x̃: large views with some of the least attended patches hidden, small views as they
    are; x̂: all voxels of the large views, restored from x̃.
    """

    Settings = MSTSettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("vit", "swin")
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(
        self, settings: MSTSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Branch(settings, channels, rng)
        self.decoder = RestoringDecoder(self.student.encoder, channels, rng)
        self.teacher = Teacher(self.student)
        self.targets = settings.targets()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return agreement and restoration of 2 large and L small views.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        cfg, b = self.settings, len(batch.volumes)
        rests = cfg.rests(self.step)
        large, small = cfg.cut_views(batch.volumes, rng)
        t: _Seen = self.teacher(large)
        hidden = self._mask(t.features, rng)
        s: _Seen = self.student(large, hidden, rng, rests=rests)
        z_s = s.image
        if len(small):
            more: _Seen = self.student(small, None, rng, rests=rests)
            z_s = torch.cat([z_s, more.image])
        p_t = self.targets(t.image, cfg.temperature(self.step))
        image = cross_view_ce(
            z_s.view(-1, b, cfg.prototypes), p_t.view(2, b, -1), cfg.student_temp
        )
        restored = (self.decoder(s.features.maps[-1]) - large).abs().mean()
        total = cfg.image_weight * image + cfg.restore_weight * restored
        return Loss(total, {"image": image.detach(), "restored": restored.detach()})

    def _mask(self, seen: Features, rng: torch.Generator) -> Tensor:
        """Hide each of the least attended units with the set chance: (2B, *units)."""
        cfg, attention = self.settings, seen.attention
        assert attention is not None
        batch, units = len(attention), attention[0].numel()
        count = torch.full((batch,), max(1, int(cfg.quantile * units)))
        least = attended_units(attention, count, low=True)
        scores = uniform_scores(batch, units, rng).to(attention.device)
        return least & (scores < cfg.mask_chance).view(attention.shape)

    def after_step(self, step: int, total: int) -> None:
        """Move the centre and the teacher; `step` is global (0-based)."""
        self.targets.update()
        momentum = momentum_at(step, total, self.settings.momentum)
        self.teacher.update(self.student, momentum)

    def encoder(self) -> nn.Module:
        """Return the teacher's encoder, as DINO does (METHODS 0)."""
        return self.teacher.encoder
