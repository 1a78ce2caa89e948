"""Settings that methods share which distil an exponential-moving-average teacher."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from ..nn.distil import Balance, PrototypeTargets
from ..nn.heads import PrototypeHead
from ..nn.schedule import teacher_temperature
from ..schema.bounds import SEVERAL
from ..schema.task import Tier
from .crops import ManyCropsSettings
from .method import MethodSettings


class DistillationSettings(MethodSettings):
    """What methods share that distil an EMA teacher's prototypes (METHODS 0)."""

    prototypes: Annotated[int, SEVERAL] = Field(
        8192, description="K of each head; iBOT, SMIT, AttMask: METHODS 0"
    )
    head_hidden: int = Field(2048, ge=1, description="METHODS 0, prototype head")
    head_bottleneck: int = Field(256, ge=1, description="METHODS 0, prototype head")
    freeze_last: float = Field(
        0.01, ge=0, le=1,
        description="share of the steps in which prototypes rest: 1 of 100 epochs; "
        "METHODS 0",
    )  # fmt: skip
    balance: Balance = Field(
        "centre", description="of targets over prototypes; METHODS 0; 'none' collapses"
    )
    student_temp: float = Field(0.1, gt=0, description="METHODS 0")
    teacher_temp_start: float = Field(0.04, gt=0, description="METHODS 0")
    teacher_temp: float = Field(0.07, gt=0, description="METHODS 0")
    temp_warmup: float = Field(
        0.3, ge=0, le=1, description="share of the steps: 30 of 100 epochs, METHODS 0"
    )
    center_momentum: float = Field(0.9, ge=0, le=1, description="METHODS 0")
    momentum: float = Field(
        0.996, ge=0, le=1, description="of the EMA, to 1; METHODS 1.14"
    )

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


class MultiCropSettings(ManyCropsSettings, DistillationSettings):
    """Distillation over two large views and several small ones."""

    # Where nothing is restored beside, tier small's rate for all lets the student find a
    # constant before the teacher's differences; chosen here by loss and monitor
    # (docs/log.md).
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        tier: {**ManyCropsSettings.tiers[tier], **DistillationSettings.tiers[tier]}
        for tier in ManyCropsSettings.tiers
    }
    tiers["small"] |= {
        "batch": 8, "lr": 3e-4, "momentum": 0.996, "teacher_temp": 0.04,
    }  # fmt: skip
