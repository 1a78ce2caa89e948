"""3DINO: DINOv2's objectives on volumes of any modality, for a ViT.

METHODS 1.20. Two large and eight small views. Images agree as in DINO, hidden patches as
in iBOT with masks of random patches in half of the large views, targets are balanced by
Sinkhorn-Knopp, and KoLeo keeps the images of a batch apart. The slice axis is the last
one: views are cut from the plane of the other two as in 2-D, and independently along it,
so that spacing is not kept. The encoder maps intensities to [-1, 1] itself.

The adaptation to high resolution is this method again, with larger views, started from
the encoder of the first pretraining (dino3d_highres.yaml).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MultiCropSettings
from harness.nn.augmentation import Augmentation, augment
from harness.nn.distil import Balance, cross_view_ce, hidden_token_ce, koleo
from harness.nn.draws import rows
from harness.nn.ema import Teacher, momentum_at
from harness.nn.features import Features
from harness.nn.masking import random_counts
from harness.nn.settings import ViTSettings
from harness.nn.views import resized_crop
from harness.nn.vit import ViT
from harness.schema.bounds import SEVERAL
from harness.schema.task import Tier
from harness.schema.training import Precision

Range = tuple[float, float]


def _large_vit() -> ViTSettings:
    return ViTSettings(
        width=1024,
        depth=24,
        heads=16,
        layer_scale=1e-5,
        drop_path=0.3,
        drop_path_rule="uniform",
        intensity=(-1.0, 1.0),
    )


class DINO3DSettings(MultiCropSettings):
    """Published settings (METHODS 1.20, unless said otherwise)."""

    encoder: ViTSettings = Field(
        default_factory=_large_vit, description="ViT-L-3D; METHODS 0"
    )
    prototypes: Annotated[int, SEVERAL] = Field(65_536, description="K; METHODS 1.20")
    balance: Balance = Field(
        "sinkhorn",
        description="of targets; METHODS 1.20, centring for batches under 64",
    )
    global_scale: Range = Field((0.48, 1.0), description="of the plane; METHODS 1.20")
    local_scale: Range = Field((0.16, 0.48), description="of the plane; METHODS 1.20")
    aspect: Range = Field((0.9, 1.11), description="in the plane; METHODS 1.20")
    global_length: Range = Field((0.5, 1.0), description="of the slices; METHODS 1.20")
    local_length: Range = Field((0.2, 0.5), description="of the slices; METHODS 1.20")
    augmentation: Augmentation = Field(
        default_factory=lambda: Augmentation(
            flip=0.3, rotate=0.3, intensity=0.8, blur_or_sharpen=1.0
        ),
        description="of the first large view; METHODS 1.20",
    )
    second_augmentation: Augmentation = Field(
        default_factory=lambda: Augmentation(
            flip=0.3, rotate=0.3, intensity=0.8, blur_or_sharpen=0.1, gibbs=0.2
        ),
        description="of the second large view; METHODS 1.20",
    )
    local_augmentation: Augmentation = Field(
        default_factory=lambda: Augmentation(
            flip=0.3, rotate=0.3, intensity=0.8, blur=0.5
        ),
        description="of small views; METHODS 1.20",
    )
    mask_ratio: Range = Field((0.2, 0.75), description="of a masked view; METHODS 1.20")
    masked_share: float = Field(
        0.5, ge=0, le=1, description="of large views; METHODS 1.20"
    )
    image_weight: float = Field(1.0, ge=0, description="METHODS 1.20")
    patch_weight: float = Field(1.0, ge=0, description="METHODS 1.20")
    koleo_weight: float = Field(
        0.1, ge=0, description="each group of large views; METHODS 1.20"
    )
    momentum: float = Field(
        0.992, ge=0, le=1, description="of the EMA, to 1; METHODS 1.20"
    )
    batch: int = Field(512, ge=1, description="KoLeo needs two; METHODS 1.20")
    steps: int = Field(125_000, ge=1, description="METHODS 1.20")
    lr: float = Field(1.41e-3, ge=0, description="2e-3 √(512 / 1024); METHODS 1.20")
    lr_end: float = Field(1e-6, ge=0, description="METHODS 1.20")
    warmup: int = Field(12_500, ge=0, description="METHODS 1.20")
    weight_decay: float = Field(0.04, ge=0, description="METHODS 1.20")
    weight_decay_end: float | None = Field(0.4, ge=0, description="METHODS 1.20")
    layer_decay: float = Field(0.9, gt=0, le=1, description="METHODS 1.20")
    stem_lr: float = Field(0.2, gt=0, description="METHODS 1.20")
    precision: Precision = Field("fp16", description="METHODS 1.20")

    least: ClassVar[int] = 2
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        tier: {**values, "balance": "centre", "precision": "fp32"}
        for tier, values in MultiCropSettings.tiers.items()
    }
    # With 1e-5 no class token hears of its image for some hundreds of steps.
    tiers["small"] |= {"encoder": {"layer_scale": 0.1}}

    def cut_views(self, region: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the large views (2B, C, *crop), then the small (L B, C, *local_crop)."""
        cut = partial(resized_crop, region, rng=rng, aspect=self.aspect)
        large = [
            cut(self.crop, scale=self.global_scale, through=self.global_length)
            for _ in range(2)
        ]
        small = [
            cut(self.local_crop, scale=self.local_scale, through=self.local_length)
            for _ in range(self.local_crops)
        ]
        kinds = (self.augmentation, self.second_augmentation)
        changed = [
            augment(view, how, rng) for view, how in zip(large, kinds, strict=True)
        ]
        if not small:
            return torch.cat(changed), region[:0]
        return torch.cat(changed), augment(
            torch.cat(small), self.local_augmentation, rng
        )


@dataclass(frozen=True)
class _Seen:
    """Class tokens (B, C), their logits (B, K), patch tokens (B, N, C)."""

    cls: Tensor
    image: Tensor
    tokens: Tensor


class _Branch(nn.Module):
    """Encoder and a head each for images and patches."""

    def __init__(
        self, settings: DINO3DSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = ViT(settings.encoder, channels, rng)
        self.image_head = settings.head(self.encoder.cls_width, rng)
        self.patch_head = settings.head(self.encoder.unit_width, rng)

    def forward(
        self,
        views: Tensor,
        hidden: Tensor | None = None,
        rng: torch.Generator | None = None,
        *,
        rests: bool = False,
    ) -> _Seen:
        features: Features = self.encoder(views, mask_units=hidden, rng=rng)
        cls = features.pooled
        tokens = features.units.flatten(2).transpose(1, 2)
        return _Seen(cls, self.image_head(cls, rests=rests), tokens)


class DINO3D(Method):
    """L = DINO(class tokens) + iBOT(hidden patches) + 0.1 Σ_g KoLeo(class tokens of g).

    DINO: cross-entropies of all pairs of a large view (teacher) and another view
    (student), 18 with 8 small ones, mean over pairs; iBOT: mean over a view's hidden
    patches, then over the 2B large views, those without any adding 0; g: the first and
    the second large views.
    """

    Settings = DINO3DSettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("vit",)
    unfit: ClassVar[dict[str, str]] = {
        "swin": "its objective is on a class token: use encoder: vit, or ibot on a swin",
        "resnet": "its objective is on patch tokens: use encoder: vit, or dino",
    }

    def __init__(
        self, settings: DINO3DSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Branch(settings, channels, rng)
        self.teacher = Teacher(self.student)
        self.image_targets = settings.targets()
        self.patch_targets = settings.targets()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the objective of 2 large and L small views of each region.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        cfg, b = self.settings, len(batch.volumes)
        temperature, rests = cfg.temperature(self.step), cfg.rests(self.step)
        large, small = cfg.cut_views(batch.volumes, rng)
        hidden = self._mask(2 * b, large.shape[2:], rng).to(large.device)
        t: _Seen = self.teacher(large)
        s: _Seen = self.student(large, hidden, rng, rests=rests)
        z_image = s.image
        if len(small):
            more: _Seen = self.student(small, None, rng, rests=rests)
            z_image = torch.cat([z_image, more.image])

        p_image = self.image_targets(t.image, temperature)
        image = cross_view_ce(
            z_image.view(-1, b, cfg.prototypes), p_image.view(2, b, -1),
            cfg.student_temp,
        )  # fmt: skip
        hidden = hidden.flatten(1)
        branch = self.teacher.module
        assert isinstance(branch, _Branch)
        with torch.no_grad():
            z_t = branch.patch_head(t.tokens[hidden])
        z_s = self.student.patch_head(s.tokens[hidden], rests=rests)
        p_patch = self.patch_targets(z_t, temperature)
        patch = hidden_token_ce(z_s, p_patch, cfg.student_temp, hidden)
        spread = koleo(s.cls[:b]) + koleo(s.cls[b:])
        total = (
            cfg.image_weight * image
            + cfg.patch_weight * patch
            + cfg.koleo_weight * spread
        )
        terms = {"image": image, "patch": patch, "koleo": spread}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _mask(self, views: int, crop: torch.Size, rng: torch.Generator) -> Tensor:
        """Hide patches of some views, anywhere, as many as `stratified` says."""
        grid = [side // self.student.encoder.unit for side in crop]
        patches = torch.Size(grid).numel()
        low, high = self.settings.mask_ratio
        share = self.settings.masked_share
        ratio = rows(views, partial(stratified, low, high, share, rng))
        return random_counts(grid, (ratio * patches).long(), rng)

    def after_step(self, step: int, total: int) -> None:
        """Move both centres and the teacher; `step` is global (0-based)."""
        self.image_targets.update()
        self.patch_targets.update()
        momentum = momentum_at(step, total, self.settings.momentum)
        self.teacher.update(self.student, momentum)

    def encoder(self) -> nn.Module:
        """Return the teacher's encoder (METHODS 0)."""
        return self.teacher.encoder


def stratified(
    low: float, high: float, share: float, rng: torch.Generator, views: int
) -> Tensor:
    """Return the mask ratio of each view, 0 for those that stay whole: (views,).

    `share` of the views is masked; [low, high] is cut into as many equal bins, one ratio
    is drawn in each, and they are dealt to the views at random (METHODS 1.20).
    """
    masked = int(views * share)
    u = torch.rand(masked, generator=rng, device=rng.device)
    place = torch.arange(masked, device=rng.device)
    ratio = torch.zeros(views, device=rng.device)
    ratio[:masked] = low + (high - low) * (place + u) / max(1, masked)
    return ratio[torch.randperm(views, generator=rng, device=rng.device)]
