"""Views: random sub-volumes of regions, cut on their device for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from .draws import rows
from .settings import AnySettings


def random_view(region: Tensor, size: Sequence[int], rng: torch.Generator) -> Tensor:
    """Cut one view per region, each at its own uniformly drawn place.

    region: (B, C, *sides); size: voxels of a view per axis, at most the region's.
    Drawn on the generator's device. Returns (B, C, *size).
    """
    batch, dims = len(region), len(size)
    index: list[Tensor] = []
    for axis, side in enumerate(size):
        room = region.shape[2 + axis] - side
        start = rows(batch, partial(_starts, room, rng)).to(region.device)
        place = start[:, None] + torch.arange(side, device=region.device)  # (B, side)
        shape = (side if a == axis else 1 for a in range(dims))
        index.append(place.view(batch, *shape))
    which = torch.arange(batch, device=region.device).view(batch, *[1] * dims)
    channel_last = region.movedim(1, -1)  # (B, *sides, C)
    return channel_last[which, *index].movedim(-1, 1).contiguous()


def _starts(room: int, rng: torch.Generator, number: int) -> Tensor:
    return torch.randint(0, room + 1, (number,), generator=rng, device=rng.device)


def check_views(
    crop: Sequence[int],
    region: Sequence[int],
    encoder: AnySettings,
    *,
    overlapping: bool,
) -> None:
    """Raise ValueError where views of size `crop` cannot be used.

    They must have as many axes as the encoder works on, be whole multiples of its
    stride, hold a window of its attention, lie inside the region and, if `overlapping`,
    be so large that any two of one region share voxels.
    """
    crop, region, dims = tuple(crop), tuple(region), encoder.dims
    if not len(crop) == len(region) == dims:
        msg = (
            f"crop {crop} and region {region} need {dims} sides each, since the encoder "
            f"has dims: {dims}"
        )
        raise ValueError(msg)
    for side, room in zip(crop, region, strict=True):
        stride = encoder.stride
        window = encoder.patch * getattr(encoder, "window", 1)
        if side % stride or side < window:
            least = max(stride, -(-window // stride) * stride)
            near = max(least, round(side / stride) * stride)
            msg = (
                f"crop {crop} needs multiples of the encoder's stride, {stride}, and at "
                f"least window x patch = {window}; the nearest to {side} is {near}"
            )
            raise ValueError(msg)
        if side > room:
            msg = f"crop {crop} is larger than region {region}"
            raise ValueError(msg)
        if overlapping and 2 * side <= room:
            msg = (
                f"two crops {crop} may miss each other in region {region}: it needs "
                "less than twice the crop on every axis"
            )
            raise ValueError(msg)
