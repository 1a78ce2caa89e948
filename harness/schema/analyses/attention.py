"""How diverse the heads of an encoder's attention are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings


class Attention(AnalysisSettings):
    """Entropy and mean distance of attention per head, before and after (METHODS 4.9)."""

    batch: int = Field(4, ge=1, description="crops per forward pass")

    # 2: padding is no key
    version: ClassVar[int] = 2
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {"samples": 4, "batch": 2}}

    def unfit(self, encoder: Mapping[str, Any]) -> str | None:
        """Refuse encoders without attention."""
        if encoder.get("kind") in ("swin", "vit"):
            return None
        return f"a {encoder.get('kind')} has no attention to look at"
