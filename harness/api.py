"""What a method file (methods/*.py) builds on.

A method is one file: a frozen, closed settings model whose every default carries its
source, networks from `harness.nn`, a `loss` that reads like the paper's equations and
`encoder()` to export. Defaults are the published settings; `tiers` holds what changes at
smaller scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .nn.instance_views import InstanceViews, check_overlap
from .nn.augmentation import Augmentation, augment
from .nn.distil import Balance, PrototypeTargets
from .nn.heads import PrototypeHead
from .nn.schedule import teacher_temperature
from .nn.settings import EncoderSettings, SwinSettings, encoder_tier
from .nn.views import check_local, check_range, check_views, resized_crop
from .schema.task import Closed, Tier
from .schema.training import Precision

Sides = Annotated[
    tuple[int, int, int] | tuple[int, int], Field(description="voxels along each axis")
]


@dataclass(frozen=True)
class Batch:
    """Regions of unlabelled images: (B, C, *region), intensities in [0, 1]."""

    volumes: Tensor
    case_ids: tuple[str, ...]


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise and its named parts (detached) for the curves."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class BaselineSettings(Closed):
    """Settings of a method that is not pretrained: the encoder alone."""

    encoder: EncoderSettings = Field(default_factory=SwinSettings)

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {}, "small": {}, "demo": {}}


class MethodSettings(BaselineSettings):
    """Settings that every pretraining shares. A method's own come in a subclass."""

    crop: Sides = Field((96, 96, 96), description="network input, voxels; METHODS 0")
    region: Sides = Field(
        (128, 128, 128), description="region of a volume that views are cut from"
    )
    batch: int = Field(6, ge=1, description="regions per step")
    steps: int = Field(250_000, ge=1, description="optimiser steps")
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: int = Field(5_000, ge=0, description="steps of linear warm-up, then cosine")
    lr_end: float = Field(0.0, ge=0, description="where the cosine of lr ends")
    weight_decay_end: float | None = Field(
        None, ge=0, description="where a cosine from weight_decay ends; none: constant"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="of lr per block of the encoder, from the last"
    )
    stem_lr: float = Field(1.0, gt=0, description="factor of lr for the encoder's stem")
    clip: float = Field(3.0, gt=0, description="gradient norm")
    precision: Precision = Field("fp32", description="of the forward pass; autocast")
    accumulate: int = Field(
        1, ge=1, description="micro-batches per step, each with its own statistics"
    )

    # Whether two views of a region must share voxels.
    views_overlap: ClassVar[bool] = False

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        check_views(
            self.crop, self.region, self.encoder, overlapping=self.views_overlap
        )
        return self

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "crop": (32, 32, 32), "region": (40, 40, 40), "batch": 2, "steps": 4,
            "lr": 1e-3, "warmup": 1,
        },
        "small": {
            "crop": (32, 32, 32), "region": (40, 40, 40), "batch": 4, "steps": 300,
            "lr": 1e-3, "warmup": 30,
        },
        "demo": {
            "crop": (64, 64, 64), "region": (80, 80, 80), "batch": 16, "steps": 3000,
            "lr": 5e-4, "warmup": 300,
        },
    }  # fmt: skip


class TwoViewSettings(MethodSettings):
    """Settings that methods share which compare views of one region (METHODS 1.3)."""

    crop: Sides = Field((64, 64, 64), description="METHODS 1.3, the 3-D port")
    region: Sides = Field((96, 96, 96), description="so that crops share half an axis")
    batch: int = Field(
        32, ge=2, description="METHODS 1.3; a single region has nothing to differ from"
    )
    min_overlap: float = Field(
        0.5, gt=0, le=1, description="shared part of every axis; METHODS 1.3"
    )
    views: InstanceViews = Field(
        default_factory=InstanceViews, description="METHODS 1.3"
    )

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


class DistillationSettings(MethodSettings):
    """What methods share that distil an EMA teacher's prototypes (METHODS 0)."""

    prototypes: int = Field(
        8192, ge=2, description="K of each head; iBOT, SMIT, AttMask 8192"
    )
    head_hidden: int = Field(2048, ge=1, description="METHODS 0, prototype head")
    head_bottleneck: int = Field(256, ge=1, description="METHODS 0, prototype head")
    freeze_last: float = Field(
        0.01, ge=0, le=1,
        description="share of the steps in which prototypes rest: 1 of 100 epochs, 0",
    )  # fmt: skip
    balance: Balance = Field(
        "centre", description="of targets over prototypes; 'none' collapses"
    )
    student_temp: float = Field(0.1, gt=0, description="METHODS 0")
    teacher_temp_start: float = Field(0.04, gt=0, description="METHODS 0")
    teacher_temp: float = Field(0.07, gt=0, description="METHODS 0")
    temp_warmup: float = Field(
        0.3, ge=0, le=1, description="share of the steps: 30 of 100 epochs, METHODS 0"
    )
    center_momentum: float = Field(0.9, ge=0, le=1, description="METHODS 0")
    momentum: float = Field(0.996, ge=0, le=1, description="of the EMA, to 1 by cosine")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"], "prototypes": 64, "head_hidden": 64,
            "head_bottleneck": 32, "momentum": 0.9,
        },
        "small": {
            **MethodSettings.tiers["small"], "prototypes": 256, "head_hidden": 256,
            "head_bottleneck": 64, "momentum": 0.99,
        },
        "demo": {
            **MethodSettings.tiers["demo"], "prototypes": 1024, "head_hidden": 1024,
            "head_bottleneck": 128, "momentum": 0.99,
        },
    }  # fmt: skip

    def temperature(self, step: int, delay: float = 0.0) -> float:
        """Teacher's temperature at a global step; delay: share of the steps."""
        return teacher_temperature(
            step,
            round(self.temp_warmup * self.steps),
            start=self.teacher_temp_start,
            end=self.teacher_temp,
            delay=round(delay * self.steps),
        )

    def rests(self, step: int) -> bool:
        """Tell whether the prototypes rest at a global step."""
        return step < round(self.freeze_last * self.steps)

    def head(self, inputs: int, rng: torch.Generator) -> PrototypeHead:
        """Return a prototype head on features of `inputs` channels."""
        return PrototypeHead(
            inputs, self.prototypes, self.head_hidden, self.head_bottleneck, rng
        )

    def targets(self) -> PrototypeTargets:
        """Return what turns a head's logits into targets."""
        return PrototypeTargets(
            self.prototypes, balance=self.balance, momentum=self.center_momentum
        )


class MultiCropSettings(DistillationSettings):
    """Two large views and several small ones; `crop` is the size of the large."""

    local_crop: Sides = Field(
        (48, 48, 48), description="96 / 48 as 3DINO; METHODS 1.14"
    )
    local_crops: int = Field(8, ge=0, description="DINO; METHODS 1.14")
    global_scale: tuple[float, float] = Field(
        (0.4, 1.0), description="share of the region's volume; DINO, METHODS 1.14"
    )
    local_scale: tuple[float, float] = Field(
        (0.05, 0.4), description="share of the region's volume; DINO, METHODS 1.14"
    )
    aspect: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="of sides, log-uniform; DINO's random crop"
    )
    augmentation: Augmentation = Field(
        default_factory=lambda: Augmentation(flip=0.5, intensity=0.8, blur=0.5),
        description="of every view; flips as DINO, intensity only in place of colour",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **DistillationSettings.tiers["tiny"], "local_crop": (16, 16, 16),
            "local_crops": 2,
        },
        "small": {
            **DistillationSettings.tiers["small"], "local_crop": (16, 16, 16),
            "local_crops": 4,
        },
        "demo": {**DistillationSettings.tiers["demo"], "local_crop": (32, 32, 32)},
    }  # fmt: skip

    @model_validator(mode="after")
    def _local_crops_fit(self) -> Self:
        check_local(self.local_crop, self.crop, self.encoder)
        for scale in (self.global_scale, self.local_scale, self.aspect):
            check_range(scale)
        return self

    def views(self, region: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the large views (2B, C, *crop), then the small (L B, C, *local_crop).

        View by view: all first views of the batch, then all second ones.
        """
        cut = partial(resized_crop, region, rng=rng, aspect=self.aspect)
        large = [cut(self.crop, scale=self.global_scale) for _ in range(2)]
        small = [
            cut(self.local_crop, scale=self.local_scale)
            for _ in range(self.local_crops)
        ]
        return (
            augment(torch.cat(large), self.augmentation, rng),
            augment(torch.cat(small), self.augmentation, rng)
            if small
            else region.new_empty(0, region.shape[1], *self.local_crop),
        )


class Method(nn.Module):
    """How an encoder gets its weights. Variants are YAML, never subclasses.

    Between steps nothing lives but parameters, registered buffers and `step`: what
    evolves in training (teacher, centres, queues, prototypes) is one of these, and no
    method counts for itself. A training resumes from exactly that.
    """

    Settings: ClassVar[type[BaselineSettings]]
    version: ClassVar[int]
    encoders: ClassVar[tuple[str, ...]] = ("swin",)
    dims: ClassVar[tuple[int, ...]] = (3,)
    pretrains: ClassVar[bool] = True
    mixes: ClassVar[bool] = False  # whether a view holds parts of another region

    step: int = 0  # global, 0-based; the training loop sets it before every `loss`

    def __init__(
        self,
        settings: BaselineSettings,  # noqa: ARG002 - what every method takes
        channels: int,  # noqa: ARG002
        rng: torch.Generator,  # noqa: ARG002
    ) -> None:
        """Build the networks; every initial weight comes from `rng`."""
        super().__init__()

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the objective of one step; masks, views and noise come from `rng`."""
        raise NotImplementedError

    def after_step(self, step: int, total: int) -> None:
        """Do what follows step `step` (0-based, global) of `total`, such as EMA."""

    def encoder(self) -> nn.Module:
        """Return the encoder to export."""
        raise NotImplementedError


def resolve(
    settings: type[BaselineSettings], tier: Tier, overrides: Mapping[str, Any]
) -> BaselineSettings:
    """Return settings at a tier with the user's overrides on top, validated.

    Order: published defaults, the tier's numbers (of the encoder, then of its method),
    the user's; groups of settings are merged key by key. `encoder` may be a kind ('swin')
    or a mapping; of another kind than the method's default, the method's own encoder
    settings do not apply. With an encoder for images (dims: 2) sides lose their first
    axis unless the user gives them. Raises pydantic.ValidationError.
    """
    merged: dict[str, Any] = {**settings.tiers.get(tier, {})}
    own = dict(overrides)
    encoder = own.pop("encoder", {})
    if isinstance(encoder, str):
        encoder = {"kind": encoder}
    of_method = merged.pop("encoder", {})
    if isinstance(encoder, Mapping):
        encoder = _resolved_encoder(settings, tier, of_method, encoder)
        if encoder.get("dims") == 2:
            published = _sides(settings)
            sides = {name: merged.get(name, published[name]) for name in published}
            merged |= {name: tuple(each)[-2:] for name, each in sides.items()}
    for name, published in _groups(settings).items():
        if isinstance(own.get(name, {}), Mapping):
            own[name] = {**published, **merged.get(name, {}), **own.get(name, {})}
    return settings.model_validate({**merged, **own, "encoder": encoder})


def _groups(settings: type[BaselineSettings]) -> dict[str, dict[str, Any]]:
    """Return what each group of settings but the encoder has by default."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if name != "encoder"
    }
    return {
        name: default.model_dump(exclude_unset=True)
        for name, default in defaults.items()
        if isinstance(default, Closed)
    }


def _resolved_encoder(
    settings: type[BaselineSettings],
    tier: Tier,
    of_method: Mapping[str, Any],
    own: Mapping[str, Any],
) -> dict[str, Any]:
    default = settings.model_fields["encoder"].get_default(call_default_factory=True)
    kind = own.get("kind", default.kind)
    of_tier = encoder_tier(kind, tier) if isinstance(kind, str) else {}
    if kind == default.kind:
        published = default.model_dump(mode="json", exclude_unset=True)
        of_tier = {**published, **of_tier, **of_method}
    return {**of_tier, "kind": kind, **own}


def _sides(settings: type[BaselineSettings]) -> dict[str, Any]:
    """Return the published sides, settings of three numbers of voxels."""
    return {
        name: field.default
        for name, field in settings.model_fields.items()
        if field.annotation == _SIDES
    }


_SIDES = tuple[int, int, int] | tuple[int, int]
