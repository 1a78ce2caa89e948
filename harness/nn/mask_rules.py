"""How a method hides units: settings of a mask, and the draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..schema.task import Closed
from .draws import rows
from .masking import attended_units, block_units, random_counts, reveal

Ratio = float | tuple[float, float]


class MaskSettings(Closed):
    """Which units are hidden, and how many."""

    kind: Literal["random", "block", "high", "low"] = Field(
        "random",
        description="anywhere; in cuboids; where the class token attends most, or least",
    )
    ratio: Ratio = Field(
        0.7, description="share hidden, or [low, high] to draw it from"
    )
    ratio_per: Literal["sample", "batch"] = Field(
        "sample", description="what shares a draw of the ratio"
    )
    probability: float = Field(
        1.0, gt=0, le=1, description="of a sample being masked at all"
    )
    rounding: Literal["up", "down"] = Field("up", description="of ratio * units")
    hints: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="kind high: share left visible of the most attended",
    )
    hint_rule: Literal["ranks", "drawn"] = Field(
        "ranks",
        description="the first hints * N ranks are shown (METHODS 6 #5), or hints * r * N "
        "units drawn from the first tenth, r a second draw of the ratio (AttMask)",
    )

    @model_validator(mode="after")
    def _can_be_drawn(self) -> MaskSettings:
        low, high = self.bounds
        if not 0 < low <= high < 1:
            near = (min(max(low, 0.05), 0.95), min(max(high, 0.05), 0.95))
            msg = (
                f"mask ratio {self.ratio} must lie between 0 and 1, both left out: with "
                "nothing hidden there is nothing to predict, with everything hidden "
                f"nothing to predict it from; the nearest is {max(near)}"
            )
            raise ValueError(msg)
        if self.hints and self.kind != "high":
            msg = f"hints are for masks of kind high, not {self.kind}"
            raise ValueError(msg)
        if self.hint_rule == "ranks" and self.hints >= low:
            msg = (
                f"hints {self.hints} leave nothing of mask ratio {self.ratio} to hide: "
                "they need a smaller share"
            )
            raise ValueError(msg)
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest ratio."""
        if isinstance(self.ratio, tuple):
            return self.ratio
        return self.ratio, self.ratio

    @property
    def guided(self) -> bool:
        """Whether the mask needs the class token's attention."""
        return self.kind in ("high", "low")


def draw_mask(
    settings: MaskSettings,
    batch: int,
    grid: Sequence[int],
    rng: torch.Generator,
    attention: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw a mask bool (batch, *grid), True = hidden.

    attention: (batch, *grid), needed by the kinds that follow it.
    """
    units = math.prod(grid)
    counts = _counts(settings, batch, units, rng)
    if settings.kind == "random":
        return random_counts(grid, counts, rng, device)
    if settings.kind == "block":
        return block_units(grid, counts, rng, device)
    assert attention is not None, "a guided mask needs attention"
    low = settings.kind == "low"
    if settings.hint_rule == "ranks" or not settings.hints:
        hints = math.floor(settings.hints * units + 1e-9)
        return attended_units(attention, counts, hints=hints, low=low).to(device)
    hidden = attended_units(attention, counts, low=low)
    again = _ratios(settings, batch, rng) * settings.hints * units
    return reveal(hidden, attention, again.floor().long(), rng, top=0.1).to(device)


def _counts(
    settings: MaskSettings, batch: int, units: int, rng: torch.Generator
) -> Tensor:
    exact = _ratios(settings, batch, rng) * units
    down = settings.rounding == "down"
    counts = ((exact + 1e-6).floor() if down else (exact - 1e-6).ceil()).long()
    if settings.probability < 1:
        chosen = rows(batch, partial(_draw, rng)) < settings.probability
        counts = counts * chosen
    return counts


def _ratios(settings: MaskSettings, batch: int, rng: torch.Generator) -> Tensor:
    low, high = settings.bounds
    if low == high:
        return torch.full((batch,), low, dtype=torch.float64, device=rng.device)
    if settings.ratio_per == "batch":
        u = _draw(rng, 1).expand(batch)
    else:
        u = rows(batch, partial(_draw, rng))
    return low + (high - low) * u.double()


def _draw(rng: torch.Generator, number: int) -> Tensor:
    return torch.rand(number, generator=rng, device=rng.device)
