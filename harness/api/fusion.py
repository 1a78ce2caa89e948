"""What a fusion of several encoders is told (METHODS 1.21)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..schema.task import Tier
from .method import OwnSettings


class FusionSettings(OwnSettings):
    """Settings of the head that joins the image vectors of several encoders."""

    attention: Literal["self", "none"] = Field(
        "self",
        description="between the projections; none: they go straight to the classifier "
        "(METHODS 1.21)",
    )
    tokens: Literal["scalar", "component"] = Field(
        "scalar",
        description="what attention runs between: single numbers, as the published "
        "listing and parameter count have it, or whole projections, as the text says "
        "(METHODS 6 #25)",
    )
    width: int = Field(
        512, ge=1, description="each vector is projected to; METHODS 1.21"
    )
    heads: int = Field(
        8, ge=1, description="of attention between components; chosen here"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="METHODS 1.21")
    standardise: bool = Field(
        default=True,
        description="vectors by mean and deviation of the training cases, since scales "
        "differ between encoders; METHODS 1.21, pitfalls",
    )
    last_blocks: int = Field(
        4, ge=1,
        description="class tokens of a ViT's last blocks that stand side by side: 4 of "
        "384 numbers are DINO's 1536; METHODS 1.21",
    )  # fmt: skip

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"width": 16, "heads": 2},
        "small": {"width": 64, "heads": 4},
        "demo": {"width": 128},
    }
