"""What an encoder's image vectors say of how well it will transfer."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings


class Transfer(AnalysisSettings):
    """Quantities of an encoder as it is before it is adapted, on a task's images.

    Ranks and spectrum of image vectors, their spread, and the entropy of attention need
    no labels; the vote of nearest neighbours needs classes. harness/nn/spread.py defines
    them. Every encoder is looked at once per task, whatever cells start from it.
    """

    once: ClassVar[bool] = True
    # 2: padding is no key
    version: ClassVar[int] = 2
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {"samples": 8, "batch": 4}}

    samples: int = Field(
        256, ge=4, description="crops; ranks cannot exceed their number (chosen here)"
    )
    batch: int = Field(8, ge=1, description="crops per forward pass")
    neighbours: int = Field(20, ge=1, description="that vote; METHODS 2.8")
    temperature: float = Field(0.07, gt=0, description="of votes; METHODS 2.8")
