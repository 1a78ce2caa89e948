"""`frozen_adapter`: segmentation with a ViT-Adapter around a frozen ViT (METHODS 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..budget import TaskKind
from ..task import TaskSpec, Tier
from .finetune import Finetune

HEADS = 8  # of deformable attention, one per octant
SHARE = 4  # its values are a quarter of the ViT's width


class FrozenAdapter(Finetune):
    """Train adapter, merge layers and decoder; the ViT stays as it is.

    Numbers of 3DINO's segmentation: METHODS 2.3. What is not said here is as in
    `finetune`.
    """

    version: ClassVar[int] = 1
    fuses: ClassVar[bool] = False
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation",)

    freeze: Literal["encoder"] = "encoder"
    weight_decay: float = Field(0.01, ge=0, description="AdamW's default; METHODS 2.3")
    overlap: float = Field(
        0.75, ge=0, lt=1, description="sliding-window inference, test; METHODS 2.3"
    )
    as_released: bool = Field(
        default=False,
        description="the order of axes of the released code, which samples from the "
        "wrong places (METHODS 2.3, axis trap); for replication alone",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {**Finetune.tiers["tiny"], "overlap": 0.25},
        "small": {**Finetune.tiers["small"], "overlap": 0.5},
        "demo": Finetune.tiers["demo"],
    }

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why no adapter fits, or None: it needs a plain ViT of fitting width."""
        del crop
        if encoder["kind"] != "vit":
            return (
                f"an adapter goes around the blocks of a vit, not of a {encoder['kind']}"
                ": use finetune with 'freeze: encoder'"
            )
        width, step = int(encoder["width"]), HEADS * SHARE
        if width % step:
            near = max(1, round(width / step)) * step
            return (
                f"an adapter needs a vit whose width is a multiple of {step}, not "
                f"{width}; the nearest is {near}"
            )
        if self.as_released and task.dims != 3:
            return "as_released is an order of three axes: remove it for images"
        return None
