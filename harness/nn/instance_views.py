"""Views of one image that a network shall take for the same: cut, mirrored, jittered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from ..schema.task import Closed
from .draws import rows
from .intensity import Jitter, sometimes
from .orient import in_plane, turn_each
from .views import random_view


class InstanceViews(Closed):
    """How views differ, beside the place that they are cut from (METHODS 1.3).

    Geometry is exact: no resampling, so spacing keeps its meaning; intensities change as
    `jitter` says.
    """

    mirror: float = Field(
        0.5, ge=0, le=1, description="chance per axis; METHODS 1.3 names no chance"
    )
    turn: bool = Field(
        default=True,
        description="quarter turns in the plane of the last two axes; METHODS 1.3",
    )
    jitter: Jitter = Field(
        default_factory=Jitter, description="intensity changes; METHODS 1.3"
    )

    def check(self, crop: Sequence[int]) -> None:
        """Raise ValueError for a crop that quarter turns would change."""
        if self.turn and crop[-1] != crop[-2]:
            msg = (
                f"turns need crops with equal last two sides, not {tuple(crop)}: set "
                "views: {turn: false}, or choose such a crop"
            )
            raise ValueError(msg)

    def __call__(
        self, region: Tensor, size: Sequence[int], rng: torch.Generator
    ) -> Tensor:
        """Cut and change one view per region (B, C, *region): (B, C, *size)."""
        x = random_view(region, size, rng)
        for axis in range(2, x.ndim):
            if self.mirror > 0:
                x = sometimes(x, x.flip(axis), self.mirror, rng)
        if self.turn:
            label = rows(
                len(x),
                lambda n: torch.randint(0, 4, (n,), generator=rng, device=rng.device),
            )
            x = turn_each(x, label.to(x.device), in_plane(x.ndim - 2))
        return self.jitter(x, rng)


def check_overlap(crop: Sequence[int], region: Sequence[int], share: float) -> None:
    """Raise ValueError where two views may share less than `share` of any axis."""
    for side, room in zip(crop, region, strict=True):
        if room - side > (1 - share) * side + 1e-9:
            most = int(side * (2 - share))
            msg = (
                f"two crops {tuple(crop)} of a region {tuple(region)} may share less than "
                f"{share:.0%} of an axis: a region side of {side} has at most {most}"
            )
            raise ValueError(msg)
