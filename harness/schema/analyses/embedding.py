"""Image vectors of a task drawn in a plane, and how its classes lie there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..task import Tier
from .settings import AnalysisSettings

Plane = Literal["umap", "tsne"]


class Embedding(AnalysisSettings):
    """An encoder as it is before it is adapted, on a task's test images.

    Planes of t-SNE (METHODS 4.10) and UMAP (METHODS 2.10) from several seeds, since
    distances in a plane follow the seed too; of classes their spread and how far they
    are apart, in the space of vectors and in every plane. Every encoder is looked at
    once per task, whatever cells start from it.
    """

    once: ClassVar[bool] = True
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"samples": 8, "batch": 4, "plane_seeds": 2}
    }

    samples: int = Field(256, ge=4, description="crops, one per case and place")
    batch: int = Field(8, ge=1, description="crops per forward pass")
    planes: tuple[Plane, ...] = Field(("tsne", "umap"), min_length=1)
    plane_seeds: int = Field(5, ge=1, description="planes of each; METHODS 2.10")
    perplexity: float = Field(30, gt=1, description="of t-SNE; METHODS 4.10")
    neighbours: int = Field(15, ge=2, description="of UMAP; METHODS 2.10")
    min_dist: float = Field(0.1, ge=0, le=1, description="of UMAP; METHODS 2.10")

    def unfit(self, encoder: Mapping[str, Any]) -> str | None:
        """Return what is not installed, or None."""
        del encoder
        if "umap" in self.planes and find_spec("umap") is None:
            return (
                "UMAP needs umap-learn: pip install 'medssl-bench[cluster]', or say "
                "'planes: [tsne]'"
            )
        return None
