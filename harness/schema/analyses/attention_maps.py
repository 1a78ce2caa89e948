"""Where the class token of an encoder looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings


class AttentionMaps(AnalysisSettings):
    """Attention of the class token over the image, before and after (METHODS 4.10).

    Of a ViT's blocks, or of a Swin's semantic attention (METHODS 1.19).
    """

    samples: int = Field(32, ge=1, description="test cases, one crop of each")
    batch: int = Field(2, ge=1, description="crops per forward pass")
    of: Literal["block", "rollout"] = Field(
        "block",
        description="one block's own attention, or the product over all blocks up to it "
        "(Abnar and Zuidema 2020: half of each is the residual)",
    )
    block: int | None = Field(
        None, ge=1, description="from 1 at the input; none: the last one; METHODS 4.10"
    )
    pictures: int = Field(4, ge=0, description="cases of which slices are kept")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"samples": 4, "pictures": 2},
    }

    def unfit(self, encoder: Mapping[str, Any]) -> str | None:
        """Refuse encoders without a class token, and blocks that they do not have."""
        kind, own = encoder.get("kind"), encoder.get("semantic_attention")
        if kind == "vit":
            depth = encoder.get("depth")
        elif kind == "swin" and own:
            depth = own.get("blocks")
        elif kind == "swin":
            return (
                "a swin without semantic attention has no class token whose attention "
                "could be drawn; the analysis attention takes it"
            )
        else:
            return f"a {kind} has no class token whose attention could be drawn"
        if self.block is not None and depth is not None and self.block > int(depth):
            return f"there is no block {self.block}, it attends in {depth}"
        return None
