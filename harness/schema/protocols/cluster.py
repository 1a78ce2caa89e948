"""`cluster`: how a frozen encoder groups the images of a task (METHODS 2.10)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

from pydantic import Field

from ..budget import TaskKind
from ..task import TaskSpec, Tier
from .settings import ProtocolSettings


class Cluster(ProtocolSettings):
    """Train nothing: measure how near images of a class are, and how far classes.

    In the space of image vectors and in UMAP's plane (DAGMaN's task 4; UMAP's own
    defaults, which the paper leaves open). Cases are scored by the nearest centre of a
    class in the vectors of the training cases.
    """

    version: ClassVar[int] = 1
    kinds: ClassVar[tuple[TaskKind, ...]] = ("classification",)

    neighbours: int = Field(15, ge=2, description="of UMAP; METHODS 2.10")
    min_dist: float = Field(0.1, ge=0, le=1, description="of UMAP; METHODS 2.10")
    umap_seeds: int = Field(5, ge=1, description="planes that are drawn; METHODS 2.10")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"umap_seeds": 2}, "small": {}, "demo": {},
    }  # fmt: skip

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return what is not installed, or None."""
        del encoder, task, crop
        if find_spec("umap") is None:
            return "it needs umap-learn: pip install 'medssl-bench[cluster]'"
        return None
