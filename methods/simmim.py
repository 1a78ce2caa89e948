"""SimMIM: hide cubes of the volume and predict their voxels with one linear layer.

METHODS 1.13. Masks are cubes of `encoder.unit` voxels (16 at paper scale), a learnable
token stands for the hidden ones after the patch embedding, all tokens go through the
encoder, and the head is one 1x1x1 convolution with a pixel shuffle from the bottleneck.
On a ViT a mask unit is a patch; of a ResNet's input, which has no tokens, hidden cubes
are set to 0 (METHODS 1.12, 1.26).

Rate, crops and mask ratio follow SMIT (METHODS 1.18), of which this is the
reconstruction term alone; weight decay and clipping are SimMIM's. SimMIM's own values
differ in three places: mask ratio 0.6, learning rate 1e-4 to 2e-4 per 512 images, crop
scale 0.67-1 and flips.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import nn

from harness.api import Batch, Loss, Method, MethodSettings
from harness.nn.build import build_encoder
from harness.nn.heads import VoxelHead
from harness.nn.losses import masked_l1
from harness.nn.masking import random_units, upsample_units
from harness.nn.views import random_view
from harness.schema.bounds import MASK_RATIO
from harness.schema.task import Tier


class SimMIMSettings(MethodSettings):
    """Published settings; sources beside each value."""

    mask_ratio: Annotated[float, MASK_RATIO] = Field(
        0.7, description="share of hidden units; SMIT (METHODS 1.18)"
    )
    lr: float = Field(
        6e-4, ge=0, description="1e-4 per region, batch 6; SMIT, METHODS 1.18"
    )
    warmup: int = Field(
        10_000, ge=0, description="20 of 500 epochs; SMIT, METHODS 1.18"
    )
    clip: float = Field(5.0, gt=0, description="gradient norm; SimMIM (METHODS 1.13)")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = MethodSettings.tiers


class SimMIM(Method):
    """L = Σ m |x - x̂| / Σ m with x̂ = head(f(x, m)), over hidden voxels m = 1 only."""

    Settings = SimMIMSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: SimMIMSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.head = VoxelHead.of(self.student, channels, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the masked reconstruction error of one view of each region.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        x = random_view(batch.volumes, self.settings.crop, rng)  # (B, C, *crop)
        unit = self.student.unit
        grid = tuple(side // unit for side in self.settings.crop)
        hidden = random_units(
            len(x), grid, self.settings.mask_ratio, rng, device=x.device
        )  # (B, *grid)
        z = self.student(x, mask_units=hidden, rng=rng).maps[-1]
        x_hat = self.head(z)  # (B, C, *crop)
        mip = masked_l1(x_hat, x, upsample_units(hidden, unit))
        return Loss(mip, {"mip": mip.detach()})

    def encoder(self) -> nn.Module:
        """Return the encoder; the head is dropped."""
        return self.student
