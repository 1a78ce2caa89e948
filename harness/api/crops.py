"""Settings of methods that look at a region through large and small views."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..nn.augmentation import Augmentation, augment
from ..nn.views import check_local, check_range, resized_crop
from ..schema.task import Sides, Tier
from .method import MethodSettings


class ManyCropsSettings(MethodSettings):
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
        (3 / 4, 4 / 3),
        description="of sides, log-uniform; chosen here, as in random crops of images",
    )
    augmentation: Augmentation = Field(
        default_factory=lambda: Augmentation(flip=0.5, intensity=0.8, blur=0.5),
        description="of every view; chosen here: intensity only in place of colour",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"], "local_crop": (16, 16, 16),
            "local_crops": 2,
        },
        "small": {
            **MethodSettings.tiers["small"], "local_crop": (16, 16, 16),
            "local_crops": 4,
        },
        "demo": {**MethodSettings.tiers["demo"], "local_crop": (32, 32, 32)},
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
