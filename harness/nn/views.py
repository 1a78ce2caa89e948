"""Views: random sub-volumes of regions, cut on their device for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from .draws import rows


def random_view(region: Tensor, size: Sequence[int], rng: torch.Generator) -> Tensor:
    """Cut one view per region, each at its own uniformly drawn place.

    region: (B, C, D, H, W); size: voxels of a view per axis, at most the region's.
    Drawn on the generator's device. Returns (B, C, *size).
    """
    batch = len(region)
    index: list[Tensor] = []
    for axis, side in enumerate(size):
        room = region.shape[2 + axis] - side
        start = rows(batch, partial(_starts, room, rng)).to(region.device)
        place = start[:, None] + torch.arange(side, device=region.device)  # (B, side)
        index.append(place.view(batch, *(side if a == axis else 1 for a in range(3))))
    which = torch.arange(batch, device=region.device).view(batch, 1, 1, 1)
    channel_last = region.movedim(1, -1)  # (B, D, H, W, C)
    return channel_last[which, *index].movedim(-1, 1).contiguous()


def _starts(room: int, rng: torch.Generator, number: int) -> Tensor:
    return torch.randint(0, room + 1, (number,), generator=rng, device=rng.device)


def check_views(
    crop: Sequence[int], region: Sequence[int], *, stride: int, overlapping: bool
) -> None:
    """Raise ValueError where views of size `crop` cannot be used.

    They must lie inside the region, be whole multiples of the encoder's `stride` and,
    if `overlapping`, be so large that any two of one region share voxels.
    """
    for side, room in zip(crop, region, strict=True):
        if side % stride:
            msg = (
                f"crop {tuple(crop)} needs multiples of the encoder's stride, {stride}"
            )
            raise ValueError(msg)
        if side > room:
            msg = f"crop {tuple(crop)} is larger than region {tuple(region)}"
            raise ValueError(msg)
        if overlapping and 2 * side <= room:
            msg = (
                f"two crops {tuple(crop)} may miss each other in region "
                f"{tuple(region)}: it needs less than twice the crop on every axis"
            )
            raise ValueError(msg)
