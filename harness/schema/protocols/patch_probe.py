"""`patch_probe`: segmentation by one linear layer on tokens, fitted to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ..budget import TaskKind
from ..task import TaskSpec, Tier
from .layers import too_few_layers
from .settings import SlidingSettings


class PatchProbe(SlidingSettings):
    """Encode once, then fit a linear layer per token until nothing is left to gain.

    The network is that of `linear_decoder` (METHODS 2.4). What is minimised is the
    cross-entropy of tokens, each with the shares that the structures have of its voxels,
    classes weighted by the root of how rare they are. That is convex: there is no rate,
    batch or number of steps to be chosen, and no draw but which tokens are looked at, so
    that a score says what the features know and not how far a training came. The penalty
    on the weights is the one that is best on validation. No paper of the five has it;
    numbers are chosen here.
    """

    version: ClassVar[int] = 1
    kinds: ClassVar[tuple[TaskKind, ...]] = ("segmentation",)

    layers: int = Field(4, ge=1, description="how many of the last layers are read")
    tokens: int = Field(
        100_000, ge=1, description="of each side, evenly drawn where there are more"
    )
    penalties: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (1e-1, 1e-2, 1e-3, 1e-4),
        min_length=1,
        description="times half the squared weights of standardised features",
    )
    iterations: int = Field(200, ge=1, description="of L-BFGS, at most, per penalty")
    overlap: float = Field(
        0.75, ge=0, lt=1, description="sliding-window inference, test; METHODS 2.3"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"tokens": 500, "penalties": (1e-2, 1e-3), "iterations": 5},
        "small": {"tokens": 20_000},
        "demo": {"tokens": 50_000},
    }

    @model_validator(mode="after")
    def _says_each_once(self) -> PatchProbe:
        if len(set(self.penalties)) < len(self.penalties):
            msg = f"penalties: a value stands twice in {list(self.penalties)}"
            raise ValueError(msg)
        return self

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why the encoder has too few layers, or None."""
        del task, crop
        return too_few_layers(encoder, self.layers, "layers")
