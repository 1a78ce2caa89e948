"""How much of a pretrained network its fine-tuned one still is."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings


class CKASettings(AnalysisSettings):
    """Settings of every analysis by centred kernel alignment (METHODS 4.4)."""

    samples: int = Field(64, ge=4, description="crops; METHODS 4.4 prefers 64 or more")
    batch: int = Field(16, ge=4, description="crops per batch, four or more")
    draws: int = Field(1000, ge=0, description="of the bootstrap over batches")
    layers: tuple[str, ...] = Field(
        (), description="names of layers; none: stem, blocks, merges, decoder levels"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"samples": 8, "batch": 4, "draws": 50},
    }


class Reuse(CKASettings):
    """CKA of each layer before fine-tuning with each layer after it (METHODS 4.4).

    The diagonal is feature reuse: 1 where fine-tuning changed nothing that a linear map
    would not undo.
    """
