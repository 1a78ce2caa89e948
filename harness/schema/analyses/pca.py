"""Principal components of tokens, as colours."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings


class Pca(AnalysisSettings):
    """An encoder as it is before it is adapted: what its tokens differ in (METHODS 4.10).

    The first component parts foreground from background, the next three are the colours
    of the foreground; of the tokens of each volume alone, and of all volumes jointly.
    Every encoder is looked at once per task, whatever cells start from it.
    """

    once: ClassVar[bool] = True
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {"samples": 4, "batch": 2}}

    samples: int = Field(16, ge=4, description="volumes whose tokens are compared")
    batch: int = Field(2, ge=1, description="volumes per forward pass")
    shown: int = Field(4, ge=1, description="volumes that are kept to be drawn")
    sides: float = Field(
        2.0,
        ge=1,
        description="of the region in the middle of a volume, in training crops, where "
        "all volumes are as large: more tokens make a finer picture",
    )
    layer: int | None = Field(
        None,
        ge=1,
        description="counted from the end, 1 the last; none: the last one with at least "
        "64 tokens per crop, or with the most",
    )
