"""What every method is: its settings, its batch, its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..nn.instance_views import InstanceViews, check_overlap
from ..nn.settings import EncoderSettings, SwinSettings
from ..nn.views import check_views
from ..schema.budget import TaskKind
from ..schema.optimiser import Optimiser, OptimiserSettings
from ..schema.roles import Role
from ..schema.task import Closed, Sides, Tier
from ..schema.training import Precision


@dataclass(frozen=True)
class Batch:
    """Regions of images: (B, C, *region), intensities in [0, 1].

    labels: only where a method's role is supervised: of a segmentation source uint8
    (B, *region), of a classification source int64 (B,).
    """

    volumes: Tensor
    case_ids: tuple[str, ...]
    labels: Tensor | None = None


@dataclass(frozen=True)
class LabelledSource:
    """What the labels of a supervised method's source are; classes: with background."""

    kind: TaskKind
    classes: int


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise and its named parts (detached) for the curves."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What came of reading a checkpoint.

    share: of the encoder's tensors that the file filled, 0 to 1; notes: what was resized
    or is missing, one sentence each; outputs: {'NAME.weight': (width, pooled), ...}, the
    linear heads on pooled features that are kept.
    """

    share: float
    notes: tuple[str, ...] = ()
    outputs: dict[str, Tensor] = field(default_factory=dict)


class OwnSettings(Closed):
    """What the settings of every method are: closed, with numbers of their own by tier.

    scaled: whether a tier changes the encoder; that of a file stays as it is.
    """

    scaled: ClassVar[bool] = True
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {}, "small": {}, "demo": {}}


class BaselineSettings(OwnSettings):
    """Settings of a method that is not pretrained: the encoder alone."""

    encoder: EncoderSettings = Field(
        default_factory=SwinSettings, description="Swin-MSK; METHODS 0"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {}, "small": {}, "demo": {}}


class MethodSettings(BaselineSettings):
    """Settings that every pretraining shares. A method's own come in a subclass."""

    crop: Sides = Field((96, 96, 96), description="network input, voxels; METHODS 0")
    region: Sides = Field(
        (128, 128, 128),
        description="of a volume, what views are cut from; SMIT, METHODS 1.18",
    )
    batch: int = Field(6, ge=1, description="regions per step; SMIT, METHODS 1.18")
    steps: int = Field(
        250_000, ge=1, description="optimiser steps; chosen here, VoCo's (METHODS 1.24)"
    )
    optimiser: Optimiser = Field(
        default_factory=OptimiserSettings,
        description="AdamW where METHODS 1 says no other",
    )
    lr: float = Field(
        1e-4, ge=0, description="0 is a control, nothing is learnt; VoCo, METHODS 1.24"
    )
    weight_decay: float = Field(0.05, ge=0, description="MAE, METHODS 1.12")
    warmup: int = Field(
        5_000, ge=0, description="linear, then cosine; VoCo, METHODS 1.24"
    )
    lr_end: float = Field(
        0.0, ge=0, description="where the cosine of lr ends; chosen here"
    )
    lr_drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        description="shares of the steps at which lr falls to a tenth; none: "
        "cosine, METHODS 0",
    )
    weight_decay_end: float | None = Field(
        None,
        ge=0,
        description="where a cosine from weight_decay ends; none: constant, "
        "chosen here",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="of lr per block of the encoder, from the last; chosen here",
    )
    stem_lr: float = Field(
        1.0, gt=0, description="factor of lr for the encoder's stem; chosen here"
    )
    clip: float = Field(3.0, gt=0, description="gradient norm; DINO, METHODS 1.14")
    precision: Precision = Field("fp32", description="of the forward pass; chosen here")
    accumulate: int = Field(
        1,
        ge=1,
        description="micro-batches per step, each with its own statistics; chosen here",
    )

    # Whether two views of a region must share voxels.
    views_overlap: ClassVar[bool] = False
    # Regions that a micro-batch, over all ranks, must hold for the loss to be defined.
    least: ClassVar[int] = 1

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        check_views(
            self.crop, self.region, self.encoder, overlapping=self.views_overlap
        )
        return self

    @model_validator(mode="after")
    def _enough_regions(self) -> Self:
        have = self.batch // self.accumulate
        if have < self.least:
            each = f" in each of {self.accumulate} micro-batches" * (
                self.accumulate > 1
            )
            msg = (
                f"batch {self.batch} leaves {have} of the {self.least} regions{each} that "
                "the loss tells apart: the nearest batch is "
                f"{self.least * self.accumulate}"
            )
            raise ValueError(msg)
        return self

    # AdamW below tier paper, whatever a paper has: these rates are for it (chosen here).
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "crop": (32, 32, 32), "region": (40, 40, 40), "batch": 2, "steps": 4,
            "lr": 1e-3, "lr_drops": (), "warmup": 1, "optimiser": {"kind": "adamw"},
        },
        "small": {
            "crop": (32, 32, 32), "region": (40, 40, 40), "batch": 4, "steps": 300,
            "lr": 1e-3, "lr_drops": (), "warmup": 30, "optimiser": {"kind": "adamw"},
        },
        "demo": {
            "crop": (64, 64, 64), "region": (80, 80, 80), "batch": 16, "steps": 3000,
            "lr": 5e-4, "lr_drops": (), "warmup": 300, "optimiser": {"kind": "adamw"},
        },
    }  # fmt: skip


class SupervisedSettings(MethodSettings):
    """Settings of a training on labels; what is not said is as in self-supervision."""

    foreground: float = Field(
        0.5, ge=0, le=1,
        description="regions centred on a structure, of a segmentation source; as "
        "fine-tuning, METHODS 2.1",
    )  # fmt: skip


class TwoViewSettings(MethodSettings):
    """Settings that methods share which compare views of one region (METHODS 1.3)."""

    crop: Sides = Field((64, 64, 64), description="METHODS 1.3, the 3-D port")
    region: Sides = Field(
        (96, 96, 96), description="crops share half an axis, METHODS 1.3"
    )
    batch: int = Field(
        32, ge=1, description="METHODS 1.3; a single region has nothing to differ from"
    )
    min_overlap: float = Field(
        0.5, gt=0, le=1, description="shared part of every axis; METHODS 1.3"
    )
    views: InstanceViews = Field(
        default_factory=InstanceViews, description="METHODS 1.3"
    )

    least: ClassVar[int] = 2

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": MethodSettings.tiers["tiny"],
        "small": {**MethodSettings.tiers["small"], "batch": 16},
        "demo": MethodSettings.tiers["demo"],
    }

    @model_validator(mode="after")
    def _views_share(self) -> Self:
        check_overlap(self.crop, self.region, self.min_overlap)
        self.views.check(self.crop)
        return self


class Method(nn.Module):
    """How an encoder gets its weights. Variants are YAML, never subclasses.

    Between steps nothing lives but parameters, registered buffers and `step`: what
    evolves in training (teacher, centres, queues, prototypes) is one of these, and no
    method counts for itself. A training resumes from exactly that.

    A method whose role is supervised takes a fourth argument, the LabelledSource. One
    whose role is fusion has settings alone and is never built: it has no encoder.
    """

    Settings: ClassVar[type[OwnSettings]]
    version: ClassVar[int]
    encoders: ClassVar[tuple[str, ...]] = ("swin",)
    dims: ClassVar[tuple[int, ...]] = (3,)
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation", "classification")
    role: ClassVar[Role] = "pretrained"
    mixes: ClassVar[bool] = False  # whether a view holds parts of another region
    unfit: ClassVar[Mapping[str, str]] = {}  # other encoders: why, and what to do

    step: int = 0  # global, 0-based; the training loop sets it before every `loss`

    def __init__(
        self,
        settings: BaselineSettings,  # noqa: ARG002 - what every method takes
        channels: int,  # noqa: ARG002
        rng: torch.Generator,  # noqa: ARG002
        source: LabelledSource | None = None,  # noqa: ARG002
    ) -> None:
        """Build the networks; every initial weight comes from `rng`."""
        super().__init__()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the objective of one step; masks, views and noise come from `rng`."""
        raise NotImplementedError

    def after_step(self, step: int, total: int) -> None:
        """Do what follows step `step` (0-based, global) of `total`, such as EMA."""

    def load(self, path: Path) -> Imported:
        """Fill the encoder from a file: what a method whose role is checkpoint does.

        Raises DataError where the file is no checkpoint or does not fit.
        """
        raise NotImplementedError

    def outputs(self) -> Mapping[str, nn.Linear]:
        """Return heads on `Features.pooled` that are exported by name, such as codes."""
        return {}

    def encoder(self) -> nn.Module:
        """Return the encoder to export."""
        raise NotImplementedError


def build_method(
    kind: type[Method],
    settings: BaselineSettings,
    channels: int,
    rng: torch.Generator,
    source: LabelledSource | None,
) -> Method:
    """Build a method; source: what a supervised one learns from, None for others."""
    if source is None:
        return kind(settings, channels, rng)
    return kind(settings, channels, rng, source)
