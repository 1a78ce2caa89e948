"""MAE: leave most patches out, encode the rest, and decode the missing ones.

METHODS 1.12. Hidden patches are not there for the encoder at all, so it has to be a ViT;
a light decoder gets a learnt token in their places and predicts their voxels, normalised
patch by patch. In three dimensions patches are cubes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MethodSettings
from harness.nn.init import initialise
from harness.nn.intensity import sometimes
from harness.nn.masking import ranks, uniform_scores
from harness.nn.patches import normalised, to_patches
from harness.nn.positions import resized, start_positions
from harness.nn.settings import ViTSettings
from harness.nn.transformer import Block
from harness.nn.views import random_view
from harness.nn.vit import ViT
from harness.schema.bounds import MASK_RATIO
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class MAESettings(MethodSettings):
    """Published settings; sources beside each value."""

    encoder: ViTSettings = Field(
        default_factory=ViTSettings, description="ViT-S1, METHODS 0"
    )
    mask_ratio: Annotated[float, MASK_RATIO] = Field(0.75, description="METHODS 1.12")
    decoder_depth: int = Field(8, ge=1, description="blocks; METHODS 1.12")
    decoder_width: int = Field(512, ge=1, description="METHODS 1.12")
    decoder_heads: int = Field(
        16, ge=1, description="MAE, section 4; chosen here of its sizes"
    )
    norm_targets: bool = Field(
        default=True, description="voxels normalised per patch; METHODS 1.12"
    )
    batch: int = Field(64, ge=1, description="chosen here; 4096 images in MAE")
    lr: float = Field(3.75e-5, ge=0, description="1.5e-4 per 256 images; METHODS 1.12")
    weight_decay: float = Field(0.05, ge=0, description="METHODS 1.12")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(betas=(0.9, 0.95)),
        description="METHODS 1.12",
    )
    warmup: int = Field(12_500, ge=0, description="40 of 800 epochs; METHODS 1.12")
    flip: float = Field(
        0.5, ge=0, le=1, description="per axis; crop and flip, METHODS 1.12"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"], "decoder_depth": 1, "decoder_width": 48,
            "decoder_heads": 3,
        },
        "small": {
            **MethodSettings.tiers["small"], "decoder_depth": 2, "decoder_width": 96,
            "decoder_heads": 3, "lr": 3e-4,
        },
        "demo": {
            **MethodSettings.tiers["demo"], "decoder_depth": 4, "decoder_width": 192,
            "decoder_heads": 6,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _hides_some_and_keeps_some(self) -> Self:
        patches = math.prod(side // self.encoder.patch for side in self.crop)
        if not 0 < visible(patches, self.mask_ratio) < patches:
            nearest = min(max(self.mask_ratio, 1 / patches), 1 - 1 / patches)
            msg = (
                f"mask_ratio {self.mask_ratio} of {patches} patches hides all or none: "
                f"the nearest is {nearest:.3g}"
            )
            raise ValueError(msg)
        if self.decoder_width % self.decoder_heads:
            msg = (
                f"decoder_heads {self.decoder_heads} must divide decoder_width "
                f"{self.decoder_width}"
            )
            raise ValueError(msg)
        return self


def visible(patches: int, ratio: float) -> int:
    """Return how many of `patches` stay: the whole part of (1 - ratio) N, as MAE."""
    return int(patches * (1 - ratio) + 1e-9)


class _Decoder(nn.Module):
    """Blocks over visible and missing patches, then a linear layer to voxels."""

    def __init__(
        self, settings: MAESettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        encoder, width = settings.encoder, settings.decoder_width
        self.enter = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(
            torch.empty(1, width, *(encoder.positions,) * encoder.dims)
        )
        self.blocks = nn.ModuleList(
            Block(width, settings.decoder_heads) for _ in range(settings.decoder_depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.paint = nn.Linear(width, channels * encoder.patch**encoder.dims)
        initialise(self, rng)
        start_positions(self.positions, encoder.positions_start)

    def forward(
        self, encoded: Tensor, order: Tensor, grid: Sequence[int], rng: torch.Generator
    ) -> Tensor:
        """Predict all patches.

        encoded: (B, 1 + V, C), the class token and V visible patches; order: (B, N), the
        patches by rank, the visible ones first. Returns voxels (B, N, C' patch^dims).
        """
        tokens = self.enter(encoded)
        cls, seen = tokens[:, :1], tokens[:, 1:]
        b, missing = len(order), order.shape[1] - seen.shape[1]
        token = self.mask_token.to(seen.dtype).expand(b, missing, -1)
        by_rank = torch.cat([seen, token], dim=1)
        places = order.argsort(dim=1)[..., None].expand(-1, -1, by_rank.shape[-1])
        x = by_rank.gather(1, places)  # (B, N, width), row-major again
        x = x + resized(self.positions, grid).flatten(1, -2)
        x = torch.cat([cls, x], dim=1)
        for block in self.blocks:
            x, _ = block(x, rng)
        voxels: Tensor = self.paint(self.norm(x[:, 1:]))
        return voxels


class MAE(Method):
    """L = mean over hidden patches of mean over voxels (x̂ - x)², x per patch normalised.

    x̂ = g(f(visible patches), tokens in the places of the hidden ones).
    """

    Settings = MAESettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("vit",)
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    unfit: ClassVar[Mapping[str, str]] = {
        "swin": "hidden patches are left out, and its windows need all of them: use "
        "simmim, or encoder: vit",
        "resnet": "hidden patches are left out, and convolutions need all of them: use "
        "simmim, or encoder: vit",
    }

    def __init__(
        self, settings: MAESettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = ViT(settings.encoder, channels, rng)
        self.student.hide_nothing()  # what is hidden is not there
        self.decoder = _Decoder(settings, channels, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the error at hidden patches of one view of each region.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        cfg, patch = self.settings, self.settings.encoder.patch
        x = random_view(batch.volumes, cfg.crop, rng)
        for axis in range(2, x.ndim):
            x = sometimes(x, x.flip(axis), cfg.flip, rng)
        grid = [side // patch for side in cfg.crop]
        patches = math.prod(grid)
        scores = uniform_scores(len(x), patches, rng).to(x.device)
        order = scores.argsort(dim=1)
        keep = visible(patches, cfg.mask_ratio)
        z = self.student.encode_kept(x, order[:, :keep], rng)
        x_hat = self.decoder(z, order, grid, rng)  # (B, N, V)
        target = to_patches(x, patch)
        if cfg.norm_targets:
            target = normalised(target)
        hidden = ranks(scores) >= keep  # (B, N)
        loss = (x_hat - target).square().mean(dim=2)[hidden].mean()
        return Loss(loss, {"mae": loss.detach()})

    def encoder(self) -> nn.Module:
        """Return the encoder; the decoder is dropped."""
        return self.student
