"""SMIT: masked voxels, masked patch tokens and a global token, the last two distilled.

METHODS 1.18. Two overlapping crops of one region; the student sees both with cubes
hidden, an EMA teacher sees both clean. Where the released code is known to err, this
file follows the method instead: the teacher starts as an exact copy of the student and
stays in evaluation mode, its momentum is annealed over the global step, and the
optimiser clips gradients and leaves biases and norms without weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, DistillationSettings, Loss, Method
from harness.nn.build import build_encoder
from harness.nn.ema import Teacher, momentum_at
from harness.nn.heads import VoxelHead
from harness.nn.losses import masked_l1, soft_ce
from harness.nn.masking import random_units, upsample_units
from harness.nn.views import random_view
from harness.schema.bounds import MASK_RATIO


class SMITSettings(DistillationSettings):
    """Published settings; sources beside each value."""

    mask_ratio: Annotated[float, MASK_RATIO] = Field(
        0.7, description="hidden units; METHODS 1.18"
    )
    patch_weight: float = Field(0.1, ge=0, description="of MPD; METHODS 1.18")
    image_weight: float = Field(0.1, ge=0, description="of ITD; METHODS 1.18")
    freeze_last: float = Field(
        0.002, ge=0, le=1,
        description="share of the steps in which prototypes rest: 1 of 500 epochs; "
        "METHODS 0",
    )  # fmt: skip
    temp_warmup: float = Field(
        0.06,
        ge=0,
        le=1,
        description="share of the steps: 30 of 500 epochs; METHODS 1.18",
    )
    patch_temp_delay: float = Field(
        0.06,
        ge=0,
        le=1,
        description="the patches' warm-up starts 30 epochs later; METHODS 1.18",
    )
    lr: float = Field(6e-4, ge=0, description="1e-4 per region, batch 6; METHODS 1.18")
    weight_decay: float = Field(0.01, ge=0, description="METHODS 1.18")
    warmup: int = Field(10_000, ge=0, description="20 of 500 epochs; METHODS 1.18")

    views_overlap: ClassVar[bool] = True

    @model_validator(mode="after")
    def _has_a_stage_before_the_last(self) -> SMITSettings:
        if self.encoder.unit >= self.encoder.stride and self.encoder.kind == "swin":
            msg = (
                "smit distils tokens of the last stage but one: depths needs two stages"
            )
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class _Seen:
    """What a branch makes of views: logits of patches (B, N, K), of images (B, K)."""

    patch: Tensor
    image: Tensor
    bottleneck: Tensor  # (B, C, *grid)


class _Branch(nn.Module):
    """Encoder and prototype heads: what student and teacher have in common."""

    def __init__(
        self, settings: SMITSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        # Tokens of the last stage but one after its merge (of a ViT after three quarters
        # of its blocks): on them one token is one mask unit.
        self.stage = self.encoder.unit_stage - 1
        width = self.encoder.merged_widths[self.stage]
        self.patch_head = settings.head(width, rng)
        self.image_head = settings.head(width, rng)

    def forward(
        self,
        views: Tensor,
        hidden: Tensor | None = None,
        rng: torch.Generator | None = None,
        *,
        rests: bool = False,
    ) -> _Seen:
        features = self.encoder(views, mask_units=hidden, rng=rng)
        tokens = features.merged[self.stage].flatten(2).transpose(1, 2)  # (B, N, width)
        return _Seen(
            patch=self.patch_head(tokens, rests=rests),
            image=self.image_head(tokens.mean(dim=1), rests=rests),
            bottleneck=features.maps[-1],
        )


class SMIT(Method):
    """L = MIP + 0.1 MPD + 0.1 ITD, each the mean over the two views u and v.

    MIP = Σ m |x - x̂| / Σ m               hidden voxels, predicted linearly
    MPD = Σ m H(P_t(u_i), P_s(ũ_i)) / Σ m  hidden tokens, teacher sees the same view
    ITD = H(P_t(v), P_s(ũ))                average-pooled tokens, teacher sees the other
    """

    Settings = SMITSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: SMITSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Branch(settings, channels, rng)
        self.voxel_head = VoxelHead.of(self.student.encoder, channels, rng)
        self.teacher = Teacher(self.student)
        self.patch_targets = settings.targets()
        self.image_targets = settings.targets()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return MIP + w_p MPD + w_i ITD of two views of each region.

        batch.volumes: (B, C, *region), intensities in [0, 1]. Changes nothing but what
        `after_step` uses, so the same generator state gives the same loss.
        """
        cfg = self.settings
        x = torch.cat(
            [random_view(batch.volumes, cfg.crop, rng) for _ in range(2)]
        )  # (2B, C, *crop): views u, then views v
        unit = self.student.encoder.unit
        grid = tuple(side // unit for side in cfg.crop)
        hidden = random_units(len(x), grid, cfg.mask_ratio, rng, device=x.device)
        s: _Seen = self.student(x, hidden, rng, rests=cfg.rests(self.step))
        t: _Seen = self.teacher(x)

        mip = masked_l1(self.voxel_head(s.bottleneck), x, upsample_units(hidden, unit))
        p_patch = self.patch_targets(
            t.patch, cfg.temperature(self.step, delay=cfg.patch_temp_delay)
        )
        mpd = soft_ce(s.patch, p_patch, cfg.student_temp, weight=hidden.flatten(1))
        p_image = self.image_targets(t.image, cfg.temperature(self.step))
        other_view = p_image.roll(len(batch.volumes), dims=0)
        itd = soft_ce(s.image, other_view, cfg.student_temp)
        total = mip + cfg.patch_weight * mpd + cfg.image_weight * itd
        terms = {"mip": mip, "mpd": mpd, "itd": itd}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def after_step(self, step: int, total: int) -> None:
        """Move both centres and the teacher; `step` is global (0-based)."""
        self.patch_targets.update()
        self.image_targets.update()
        self.teacher.update(
            self.student, momentum_at(step, total, self.settings.momentum)
        )

    def encoder(self) -> nn.Module:
        """Return the student's encoder, as the released code exports it (METHODS 0)."""
        return self.student.encoder
