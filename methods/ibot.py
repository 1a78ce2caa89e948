"""iBOT: DINO's agreement on images, and the same for hidden patches of one view.

METHODS 1.15. The teacher sees the large views whole, the student with blocks hidden, and
predicts for each hidden patch the prototypes that the teacher gives it. With another
mask this is AttMask (METHODS 1.16): the teacher's attention says which patches to hide.

On a ViT the image vector is the class token and patches are those of the last block. On
a Swin patches are tokens on the grid of mask units; the image vector is the class token
of semantic attention, where the encoder has it, else the average of the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, Loss, Method, MultiCropSettings
from harness.nn.build import build_encoder
from harness.nn.distil import cross_view_ce, hidden_token_ce
from harness.nn.ema import Teacher, momentum_at
from harness.nn.features import Features
from harness.nn.mask_rules import MaskSettings, draw_mask
from harness.nn.settings import check_guidance
from harness.schema.bounds import REGIONS
from harness.schema.task import Tier


class IBOTSettings(MultiCropSettings):
    """Published settings; sources beside each value."""

    mask: MaskSettings = Field(
        default_factory=lambda: MaskSettings(
            kind="block", ratio=(0.1, 0.5), probability=0.5, rounding="down"
        ),
        description="of the student's large views; METHODS 1.15",
    )
    mask_start: float | None = Field(
        None, ge=0, lt=1,
        description="share of the steps without masks before the first; none: on a Swin "
        "a sixth, epoch 50 (METHODS 1.15) of the 300 of the released run, else 0",
    )  # fmt: skip
    image_weight: float = Field(1.0, ge=0, description="λ1; METHODS 1.15")
    patch_weight: float = Field(1.0, ge=0, description="λ2; METHODS 1.15")
    shared_head: bool | None = Field(
        None,
        description="one head for images and patches; none: where both have one width, "
        "as in the released runs (METHODS 0)",
    )
    local_crops: int = Field(10, ge=0, description="METHODS 1.15")
    global_scale: tuple[float, float] = Field((0.25, 1.0), description="METHODS 1.15")
    local_scale: tuple[float, float] = Field((0.05, 0.25), description="METHODS 1.15")
    batch: Annotated[int, REGIONS] = Field(
        64, description="chosen here; 1024 images in iBOT"
    )
    lr: float = Field(1.25e-4, ge=0, description="5e-4 per 256 images; METHODS 1.16")
    lr_end: float = Field(1e-6, ge=0, description="as DINO; METHODS 1.14")
    weight_decay: float = Field(0.04, ge=0, description="METHODS 1.16")
    weight_decay_end: float | None = Field(0.4, ge=0, description="METHODS 1.16")
    warmup: int = Field(
        25_000, ge=0, description="10 of 100 epochs, as DINO; METHODS 1.14"
    )

    # Some hundreds of steps are too few to give any of them up: masks from the first one
    # on (chosen here). From tier demo on a run is long enough for the published rule.
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        **MultiCropSettings.tiers,
        "tiny": {**MultiCropSettings.tiers["tiny"], "mask_start": 0.0},
        "small": {**MultiCropSettings.tiers["small"], "mask_start": 0.0},
    }

    @model_validator(mode="after")
    def _mask_can_be_guided(self) -> Self:
        if self.mask.guided:
            check_guidance(self.encoder)
        # On a Swin without semantic attention an image is the average of the last stage.
        deeper = not self.encoder.has_class_token
        if self.shared_head and deeper:
            msg = (
                "shared_head: images come from the last stage and patches from one before "
                "it, with fewer channels: set shared_head: no, or use a vit"
            )
            raise ValueError(msg)
        return self

    @property
    def first_masked(self) -> int:
        """The global step from which on masks hide something."""
        share = self.mask_start
        if share is None:
            share = 1 / 6 if self.encoder.kind == "swin" else 0.0
        return round(share * self.steps)


@dataclass(frozen=True)
class _Seen:
    """What a branch makes of views: image logits (B, K), patch tokens (B, N, C)."""

    image: Tensor
    tokens: Tensor
    features: Features


class _Branch(nn.Module):
    """Encoder and heads: what student and teacher have in common."""

    def __init__(
        self, settings: IBOTSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        width = self.encoder.cls_width or self.encoder.pooled_width
        patch_width = self.encoder.unit_width
        shared = settings.shared_head
        if shared is None:
            shared = width == patch_width
        if shared and width != patch_width:
            msg = (
                f"shared_head: the image vector has {width} channels, patches have "
                f"{patch_width}: set shared_head: no"
            )
            raise ValueError(msg)
        self.head = settings.head(width, rng)
        self.own_patch_head = None if shared else settings.head(patch_width, rng)

    def forward(
        self,
        views: Tensor,
        hidden: Tensor | None = None,
        rng: torch.Generator | None = None,
        *,
        rests: bool = False,
    ) -> _Seen:
        features: Features = self.encoder(views, mask_units=hidden, rng=rng)
        vector = features.pooled if features.cls is None else features.cls
        tokens = features.units.flatten(2).transpose(1, 2)  # (B, N, C)
        return _Seen(self.head(vector, rests=rests), tokens, features)

    def patch_head(self, tokens: Tensor, *, rests: bool = False) -> Tensor:
        """tokens: (M, C). Returns logits (M, K)."""
        logits: Tensor = (self.own_patch_head or self.head)(tokens, rests=rests)
        return logits


class IBOT(Method):
    """L = λ1 cross-view CE of images + λ2 Σ_i m_i H(P_t(u_i), P_s(ũ_i)) / Σ m.

    Both in DINO's notation: t sees large views u, s sees them with m hidden, and small
    ones. The second term is the mean per view, then over views.
    """

    Settings = IBOTSettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("vit", "swin")
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(
        self, settings: IBOTSettings, channels: int, rng: torch.Generator
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
        t: _Seen = self.teacher(large)
        hidden = self._mask(t.features, rng, large.device)  # (2B, *units)
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
        total = cfg.image_weight * image + cfg.patch_weight * patch
        return Loss(total, {"image": image.detach(), "patch": patch.detach()})

    def _mask(
        self, seen: Features, rng: torch.Generator, device: torch.device
    ) -> Tensor:
        cfg = self.settings
        batch, _, *grid = seen.units.shape
        hidden = draw_mask(cfg.mask, batch, grid, rng, seen.attention, device)
        started = self.step >= cfg.first_masked
        return hidden if started else torch.zeros_like(hidden)

    def after_step(self, step: int, total: int) -> None:
        """Move both centres and the teacher; `step` is global (0-based)."""
        self.image_targets.update()
        self.patch_targets.update()
        momentum = momentum_at(step, total, self.settings.momentum)
        self.teacher.update(self.student, momentum)

    def encoder(self) -> nn.Module:
        """Return the teacher's encoder, as iBOT does (METHODS 0)."""
        return self.teacher.encoder
