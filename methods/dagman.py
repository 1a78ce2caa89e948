"""DAGMaN: hide what attention finds, and learn from a teacher that sees noise.

METHODS 1.19. SMIT's objective with three changes. Semantic attention, global blocks with
a class token after a stage of the Swin, says where the teacher looks; most of that is
hidden from the student, but for a few hints. The teacher sees both views with patches
dropped at random (noisy teacher). A fourth loss distils the average of the last stage.
On a ViT the class token is its own, block 9 of 12 stands for stage 3 and block 12 for 4.

Where the paper is silent or contradicts itself this follows METHODS 6: sums run over
prototypes, not tokens (#1); losses weigh hidden units (#2); attention comes from the
noisy pass (#3, `attention_source`); both views take both parts (#4, `symmetric`); hints
come out of the first ranks (#5); seven tenths are dropped, as whole mask units (#6,
`patch_dropout_unit`); the student gets a token, the teacher zeros (#7); means over hidden
units (#8); patches pass a prototype head (#9, `patch_head`).

Attention of a teacher that misses seven tenths is noisy itself: the curve `overlap` shows
how much of what it finds a clean pass finds too (METHODS 1.19, pitfalls).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from harness.api import Batch, DistillationSettings, Loss, Method
from harness.nn.build import build_encoder
from harness.nn.distil import PrototypeTargets
from harness.nn.ema import Teacher, momentum_at
from harness.nn.features import Features, Fill
from harness.nn.heads import LinearHead, VoxelHead
from harness.nn.losses import masked_l1, soft_ce
from harness.nn.mask_rules import MaskSettings, draw_mask
from harness.nn.masking import random_units, shared_ranks, upsample_units
from harness.nn.settings import (
    EncoderSettings,
    SemanticSettings,
    SwinSettings,
    check_guidance,
)
from harness.nn.views import random_view
from harness.schema.task import Closed

_POINTS = 50  # of the curve that shows how much attention of both passes overlaps


class LossWeights(Closed):
    """Weights of the four losses; one of weight 0 is not computed (METHODS 1.19)."""

    amip: float = Field(1.0, ge=0, description="hidden voxels, L1")
    ampd: float = Field(0.1, ge=0, description="hidden patches, distilled")
    aitd: float = Field(0.1, ge=0, description="class token of semantic attention")
    gitd: float = Field(0.1, ge=0, description="average of the last stage")


class DAGMaNSettings(DistillationSettings):
    """Published settings, SMIT's where the paper states none."""

    encoder: EncoderSettings = Field(
        default_factory=lambda: SwinSettings(semantic_attention=SemanticSettings()),
        description="Swin-MSK with semantic attention; METHODS 0, 1.19",
    )
    mask: MaskSettings = Field(
        default_factory=lambda: MaskSettings(kind="high", ratio=0.7, hints=0.1),
        description="of the student's views; METHODS 1.19",
    )
    losses: LossWeights = Field(default_factory=LossWeights, description="METHODS 1.19")
    noisy_teacher: bool = Field(default=True, description="METHODS 1.19")
    patch_dropout: float = Field(
        0.7, gt=0, lt=1, description="share that the noisy teacher misses; METHODS 6 #6"
    )
    patch_dropout_unit: Literal["mask_unit", "stem_token"] = Field(
        "mask_unit", description="what is dropped as a whole; METHODS 6 #6"
    )
    attention_source: Literal["noisy", "clean"] = Field(
        "noisy", description="which pass of the teacher guides masks; METHODS 6 #3"
    )
    symmetric: bool = Field(
        default=True, description="the student sees both views, not one; METHODS 6 #4"
    )
    image_token: Literal["class", "average"] = Field(
        "class", description="what AITD reads: METHODS 1.19; average: as SMIT's ITD"
    )
    image_head: Literal["linear", "prototype"] = Field(
        "linear", description="of AITD; a linear layer, METHODS 1.19, or SMIT's head"
    )
    patch_head: Literal["prototype", "none"] = Field(
        "prototype", description="of AMPD; none: the raw channels, METHODS 6 #9"
    )
    freeze_last: float = Field(
        0.00125,
        ge=0,
        le=1,
        description="share of the steps: 1 of 800 epochs, METHODS 0",
    )
    temp_warmup: float = Field(
        0.0375, ge=0, le=1, description="30 of 800 epochs; SMIT, METHODS 1.18"
    )
    patch_temp_delay: float = Field(
        0.0375, ge=0, le=1, description="30 of 800 epochs; SMIT, METHODS 1.18"
    )
    lr: float = Field(8e-4, ge=0, description="METHODS 1.19")
    weight_decay: float = Field(0.01, ge=0, description="SMIT; METHODS 1.18")
    warmup: int = Field(25_000, ge=0, description="80 of 800 epochs; METHODS 1.19")
    crop: tuple[int, int, int] | tuple[int, int] = Field(
        (128, 128, 128), description="METHODS 1.19"
    )
    region: tuple[int, int, int] | tuple[int, int] = Field(
        (160, 160, 160), description="chosen here: views overlap by three quarters"
    )

    views_overlap: ClassVar[bool] = True

    @model_validator(mode="after")
    def _can_be_guided(self) -> Self:
        if self.mask.guided or (self.losses.aitd and self.image_token == "class"):
            check_guidance(self.encoder)
        if not any(self.losses.model_dump().values()):
            msg = "losses: at least one weight must be above 0"
            raise ValueError(msg)
        units = math.prod(side // self.encoder.unit for side in self.crop)
        low, high = self.mask.bounds
        hints = int(self.mask.hints * units)
        if math.ceil(high * units) >= units or math.ceil(low * units) <= hints:
            msg = (
                f"a crop of {units} mask units of {self.encoder.unit} voxels cannot be "
                f"masked by {self.mask.ratio} with hints {self.mask.hints}: choose a "
                "larger crop, or semantic attention at an earlier stage"
            )
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class _Seen:
    """What a branch makes of views; logits are None where their loss is not used."""

    patch: Tensor | None  # (B, N, K)
    image: Tensor | None  # (B, K)
    overall: Tensor | None  # (B, K)
    features: Features


class _Branch(nn.Module):
    """Encoder and heads: what student and teacher have in common."""

    def __init__(
        self, settings: DAGMaNSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        use = settings.losses
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.stage = self.encoder.unit_stage - 1
        width = self.encoder.merged_widths[self.stage]
        self.class_token = settings.image_token == "class"
        image_width = self.encoder.cls_width if self.class_token else width
        self.distils_patches = use.ampd > 0
        self.patch_head, self.image_head, self.overall_head = None, None, None
        if use.ampd and settings.patch_head == "prototype":
            self.patch_head = settings.head(width, rng)
        if use.aitd:
            self.image_head = (
                LinearHead(image_width, settings.prototypes, rng)
                if settings.image_head == "linear"
                else settings.head(image_width, rng)
            )
        if use.gitd:
            self.overall_head = settings.head(self.encoder.widths[-1], rng)

    def forward(
        self,
        views: Tensor,
        hidden: Tensor | None = None,
        rng: torch.Generator | None = None,
        *,
        fill: Fill = "token",
        rests: bool = False,
    ) -> _Seen:
        features: Features = self.encoder(views, mask_units=hidden, rng=rng, fill=fill)
        tokens = features.merged[self.stage].flatten(2).transpose(1, 2)  # (B, N, C)
        patch, image, overall = None, None, None
        if self.distils_patches:
            patch = self.patch_head(tokens, rests=rests) if self.patch_head else tokens
        if self.image_head is not None:
            vector = features.cls if self.class_token else tokens.mean(dim=1)
            linear = isinstance(self.image_head, LinearHead)
            quiet = {} if linear else {"rests": rests}
            image = self.image_head(vector, **quiet)
        if self.overall_head is not None:
            average = features.maps[-1].flatten(2).mean(dim=2)
            overall = self.overall_head(average, rests=rests)
        return _Seen(patch, image, overall, features)


class DAGMaN(Method):
    """L = AMIP + 0.1 AMPD + 0.1 AITD + 0.1 GITD, each the mean over the views u and v.

    ũ: u with the most attended units hidden; û, v̂: with units dropped at random.
    AMIP = Σ m |x - x̂(ũ)| / Σ m                 hidden voxels, predicted linearly
    AMPD = Σ m H(P_t(û_i), P_s(ũ_i)) / Σ m      hidden tokens of the attended stage
    AITD = H(P_t(v̂), P_s(ũ))                    class token
    GITD = H(P_t(v̂), P_s(ũ))                    average of the last stage
    """

    Settings = DAGMaNSettings
    version: ClassVar[int] = 1
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit")
    dims: ClassVar[tuple[int, ...]] = (2, 3)

    def __init__(
        self, settings: DAGMaNSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Branch(settings, channels, rng)
        encoder = self.student.encoder
        self.voxel_head = (
            VoxelHead.of(encoder, channels, rng) if settings.losses.amip else None
        )
        self.teacher = Teacher(self.student)
        raw = encoder.merged_widths[self.student.stage]
        self.patch_targets = (
            settings.targets()
            if settings.patch_head == "prototype"
            else PrototypeTargets(
                raw, balance=settings.balance, momentum=settings.center_momentum
            )
        )
        self.image_targets = settings.targets()
        self.overall_targets = settings.targets()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the weighted losses of two overlapping views of each region.

        batch.volumes: (B, C, *region), intensities in [0, 1].
        """
        cfg, b = self.settings, len(batch.volumes)
        x = torch.cat(
            [random_view(batch.volumes, cfg.crop, rng) for _ in range(2)]
        )  # (2B, C, *crop): views u, then views v
        t = self._teach(x, rng)
        hidden, overlap = self._mask(x, t, rng)  # (2B, *units)
        seen = slice(None) if cfg.symmetric else slice(b)
        own, hidden = x[seen], hidden[seen]
        s: _Seen = self.student(own, hidden, rng, rests=cfg.rests(self.step))
        temperature = cfg.temperature(self.step)

        terms: dict[str, Tensor] = {}
        if self.voxel_head is not None:
            x_hat = self.voxel_head(s.features.maps[-1])
            voxels = upsample_units(hidden, self.student.encoder.unit)
            terms["amip"] = masked_l1(x_hat, own, voxels)
        if s.patch is not None:
            later = cfg.temperature(self.step, delay=cfg.patch_temp_delay)
            p = self.patch_targets(t.patch, later)[seen]
            terms["ampd"] = soft_ce(s.patch, p, cfg.student_temp, hidden.flatten(1))
        if s.image is not None:
            other = self.image_targets(t.image, temperature).roll(b, dims=0)[seen]
            terms["aitd"] = soft_ce(s.image, other, cfg.student_temp)
        if s.overall is not None:
            other = self.overall_targets(t.overall, temperature).roll(b, dims=0)[seen]
            terms["gitd"] = soft_ce(s.overall, other, cfg.student_temp)
        weights = cfg.losses.model_dump()
        total = torch.stack(
            [weights[name] * term for name, term in terms.items()]
        ).sum()
        terms.update(overlap)
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _teach(self, x: Tensor, rng: torch.Generator) -> _Seen:
        """Return what the teacher sees of both views, with patches dropped if noisy."""
        seen: _Seen
        cfg, encoder = self.settings, self.student.encoder
        if cfg.noisy_teacher:
            whole = cfg.patch_dropout_unit == "mask_unit"
            grid = self._grid(x, encoder.unit if whole else cfg.encoder.patch)
            dropped = random_units(len(x), grid, cfg.patch_dropout, rng, x.device)
            seen = self.teacher(x, dropped, fill="zero")
        else:
            seen = self.teacher(x)
        return seen

    def _mask(
        self, x: Tensor, t: _Seen, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return which units the student does not see, and the curve `overlap`.

        Its point takes a pass of the teacher over clean views, in one step of fifty,
        unless that pass guides the mask anyway.
        """
        cfg, attention, overlap = self.settings, t.features.attention, {}
        guides = cfg.attention_source == "clean"
        due = self.step % max(1, cfg.steps // _POINTS) == 0
        if cfg.mask.guided and cfg.noisy_teacher and (guides or due):
            assert attention is not None, "a guided mask needs attention"
            clean = self.teacher(x).features.attention
            most = cfg.mask.bounds[1]
            overlap = {"overlap": shared_ranks(attention, clean, most).mean()}
            attention = clean if guides else attention
        grid = self._grid(x, self.student.encoder.unit)
        return draw_mask(cfg.mask, len(x), grid, rng, attention, x.device), overlap

    @staticmethod
    def _grid(x: Tensor, side: int) -> list[int]:
        return [length // side for length in x.shape[2:]]

    def after_step(self, step: int, total: int) -> None:
        """Move the centres and the teacher; `step` is global (0-based)."""
        for targets in (self.patch_targets, self.image_targets, self.overall_targets):
            targets.update()
        momentum = momentum_at(step, total, self.settings.momentum)
        self.teacher.update(self.student, momentum)

    def encoder(self) -> nn.Module:
        """Return the student's encoder, as SMIT does (METHODS 0)."""
        return self.student.encoder
