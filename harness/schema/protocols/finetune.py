"""`finetune`: a decoder or a linear head, trained with the encoder or on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..budget import TaskKind
from ..doublings import doublings
from ..optimiser import Optimiser, OptimiserSettings
from ..task import TaskSpec, Tier
from ..training import Precision
from .settings import SlidingSettings

_UNBALANCED = "balanced is about the classes of a classification: remove it"


def _is_none(value: object) -> bool:
    return value is None


class Finetune(SlidingSettings):
    """Train a decoder or a linear head together with the encoder.

    Paper settings: METHODS 2.1 (SMIT fine-tune script; 3DINO's Swin arm for the steps).
    """

    version: ClassVar[int] = 1
    fuses: ClassVar[bool] = True
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation", "classification")

    freeze: Literal["nothing", "encoder"] = "nothing"
    steps: int = Field(30_000, ge=1, description="optimiser steps, whatever the budget")
    batch: int = Field(8, ge=1, description="crops per step")
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    warmup: int = Field(3_000, ge=0, description="steps of linear warm-up, then cosine")
    clip: float = Field(1.0, gt=0, description="gradient norm; chosen here")
    precision: Precision = Field("fp32", description="of the forward pass; autocast")
    accumulate: int = Field(
        1, ge=1, description="micro-batches per step, each with its own Dice"
    )
    foreground: float = Field(
        0.5, ge=0, le=1, description="crops centred on a structure"
    )
    flip: float = Field(0.0, ge=0, le=1, description="probability per axis")
    rotate: float = Field(
        0.2, ge=0, le=1, description="probability of a 90 degree turn"
    )
    scale_shift: float = Field(
        0.1, ge=0, le=1, description="probability of each, by 0.1"
    )
    val_every: int = Field(600, ge=1, description="steps between validations")
    # What is not used is no part of a key.
    optimiser: Optimiser = Field(
        OptimiserSettings(), exclude_if=lambda own: own == OptimiserSettings()
    )
    epochs: int | None = Field(
        None,
        ge=1,
        exclude_if=_is_none,
        description="passes over the training cases in place of `steps`, each with a "
        "validation at its end; METHODS 2.6: 1000, 2.7: 30 to 50",
    )
    plateau: int | None = Field(
        None,
        ge=0,
        exclude_if=_is_none,
        description="validations in a row, none the best so far, that the rate outlasts; "
        "at one more it falls to a tenth. In place of the cosine; METHODS 2.7: 5",
    )
    early_stop: int | None = Field(
        None,
        ge=1,
        exclude_if=_is_none,
        description="validations in a row, none the best so far, that end the training; "
        "METHODS 2.7: 10",
    )
    balanced: bool = Field(
        default=False,
        exclude_if=lambda balanced: not balanced,
        description="draw each class of a classification equally often (METHODS 2.7)",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"steps": 5, "batch": 2, "lr": 1e-3, "warmup": 1, "val_every": 5},
        "small": {"steps": 300, "batch": 2, "lr": 1e-3, "warmup": 20, "val_every": 100},
        "demo": {
            "steps": 2000,
            "batch": 4,
            "lr": 3e-4,
            "warmup": 100,
            "val_every": 200,
        },
    }

    @model_validator(mode="after")
    def _has_classes(self) -> Self:
        if self.balanced and "classification" not in self.kinds:
            raise ValueError(_UNBALANCED)
        return self

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why no convolutional decoder fits the encoder, for a segmentation."""
        del crop
        if task.kind == "segmentation" and self.balanced:
            return _UNBALANCED
        if task.kind != "segmentation" or encoder["kind"] != "vit":
            return None
        try:
            doublings(int(encoder["patch"]))
        except ValueError as error:
            return str(error)
        return None

    def on(self, cases: int) -> Self:
        """Return these settings with the steps that `epochs` of so many cases take."""
        if self.epochs is None:
            return self
        per_epoch = -(-cases // self.batch)
        steps = self.epochs * per_epoch
        return self.model_copy(update={"steps": steps, "val_every": per_epoch})

    @property
    def trains_all(self) -> bool:
        """Whether the encoder is trained with what stands on it."""
        return self.freeze == "nothing"
