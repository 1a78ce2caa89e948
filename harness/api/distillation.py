"""Settings that methods share which distil an exponential-moving-average teacher."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..nn.augmentation import Augmentation, augment
from ..nn.distil import Balance, PrototypeTargets
from ..nn.heads import PrototypeHead
from ..nn.schedule import teacher_temperature
from ..nn.views import check_local, check_range, resized_crop
from ..schema.task import Tier
from .method import MethodSettings, Sides


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

    def cut_views(self, region: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
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
