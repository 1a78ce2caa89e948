"""What all analyses have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..task import Closed, Tier

Between = Literal["budgets", "seeds", "methods"]


class AnalysisSettings(Closed):
    """Common ground of all analyses.

    pairs: whether an analysis compares two adapted networks; else it looks at one, and
    at what that was before it was adapted. once: whether it looks at the encoder before
    alone, so that of the cells that start from one encoder the first stands for all.
    They look at test cases, the same ones for every method: the first `samples` by a
    hash of their ids.
    """

    version: ClassVar[int] = 1
    pairs: ClassVar[bool] = False
    once: ClassVar[bool] = False
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {}

    samples: int = Field(
        64, ge=1, description="crops, one per case and place; METHODS 4.4"
    )
    batch: int = Field(16, ge=1, description="crops per forward pass")

    def unfit(self, encoder: Mapping[str, Any]) -> str | None:
        """Return why a kind of encoder cannot be analysed so, or None."""
        del encoder  # most analyses take every encoder
        return None
