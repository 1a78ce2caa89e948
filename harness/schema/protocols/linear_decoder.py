"""`linear_decoder`: segmentation by linear layers on a frozen encoder's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..budget import TaskKind
from ..task import TaskSpec
from .finetune import Finetune
from .layers import too_few_layers


class LinearDecoder(Finetune):
    """Train a linear layer per token, with batch norm before it (METHODS 2.4).

    Rate and batch are 3DINO's; what is not said here is as in `finetune`, whose steps,
    crops and validation it shares. 3DINO reads the last four blocks of a ViT. A Swin or
    a ResNet is read at its last maps, each on its own grid (chosen here).
    """

    version: ClassVar[int] = 1
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation",)

    freeze: Literal["encoder"] = "encoder"
    batch: int = Field(16, ge=1, description="crops per step; METHODS 2.4")
    lr: float = Field(1e-3, gt=0, description="METHODS 2.4")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's default; METHODS 2.3")
    overlap: float = Field(
        0.75, ge=0, lt=1, description="sliding-window inference, test; METHODS 2.3"
    )
    layers: int = Field(4, ge=1, description="how many of the last layers are read")

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why the encoder has too few layers, or None."""
        del task, crop
        return too_few_layers(encoder, self.layers, "layers")
