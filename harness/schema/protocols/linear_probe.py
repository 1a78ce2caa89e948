"""`linear_probe`: a linear layer on frozen features."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..budget import TaskKind
from ..task import Tier
from .settings import ProtocolSettings


class LinearProbe(ProtocolSettings):
    """One linear layer on cached, frozen, pooled features (METHODS 2.6)."""

    version: ClassVar[int] = 1
    kinds: ClassVar[tuple[TaskKind, ...]] = ("classification",)

    steps: int = Field(12_500, ge=1)
    batch: int = Field(32, ge=1)
    lr: tuple[float, ...] = Field(
        (1e-3, 1e-2, 1e-1, 0.5), min_length=1, description="best on validation is kept"
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"steps": 20},
        "small": {"steps": 1000},
        "demo": {"steps": 1000},
    }
