"""Views: random sub-volumes of regions, cut on their device for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

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


def resized_crop(
    region: Tensor,
    size: Sequence[int],
    rng: torch.Generator,
    *,
    scale: tuple[float, float],
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    through: tuple[float, float] | None = None,
) -> Tensor:
    """Cut one random part of each region and resize it linearly to `size`.

    The part has a share of the region's volume (area) drawn from `scale`, its sides in
    log-uniform proportions from `aspect` (DINO's crop, with two factors in 3-D). With
    `through` the last axis is apart: scale and aspect are those of the plane of the
    others, and the share of its length is drawn from `through` (3DINO's crop; METHODS
    1.20). A side is at most the region's. region: (B, C, *sides). Returns (B, C, *size).
    """
    share, start = crop_boxes(
        len(region), len(size), rng, scale=scale, aspect=aspect, through=through
    )
    share, start = share.to(region), start.to(region)
    # Voxel centres of the crop in [-1, 1] of the region; grid_sample wants the last axis
    # first.
    theta = region.new_zeros(len(region), len(size), len(size) + 1)
    for axis in range(len(size)):
        row = len(size) - 1 - axis
        theta[:, row, row] = share[:, axis]
        theta[:, row, -1] = 2 * start[:, axis] + share[:, axis] - 1
    shape = [len(region), 1, *size]
    grid = functional.affine_grid(theta, shape, align_corners=False)
    return functional.grid_sample(
        region, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def crop_boxes(
    batch: int,
    dims: int,
    rng: torch.Generator,
    *,
    scale: tuple[float, float],
    aspect: tuple[float, float],
    through: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw parts as shares of each side and where they start, both (batch, dims)."""
    u = rows(batch, partial(_uniform, 2 * dims + 1, rng))
    plane = dims if through is None else dims - 1
    ends = torch.tensor(aspect, device=u.device).log()
    log = torch.zeros_like(u[:, :plane])
    log[:, 1:] = ends[0] + (ends[1] - ends[0]) * u[:, :plane][:, 1:]
    log = log - log.mean(dim=1, keepdim=True)
    area = scale[0] + (scale[1] - scale[0]) * u[:, dims : dims + 1]
    share = (area ** (1 / plane) * log.exp()).clamp(max=1)
    if through is not None:
        length = through[0] + (through[1] - through[0]) * u[:, :1]
        share = torch.cat([share, length], dim=1)
    start = u[:, dims + 1 :] * (1 - share)
    return share, start


def _uniform(width: int, rng: torch.Generator, number: int) -> Tensor:
    return torch.rand(number, width, generator=rng, device=rng.device)


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


def check_local(
    local: Sequence[int], crop: Sequence[int], encoder: AnySettings
) -> None:
    """Raise ValueError where small views cannot be encoded beside large ones."""
    local, crop, patch = tuple(local), tuple(crop), encoder.patch
    if len(local) != len(crop):
        msg = f"local_crop {local} needs as many sides as crop {crop}"
        raise ValueError(msg)
    for side, large in zip(local, crop, strict=True):
        if side % patch or not patch <= side <= large:
            near = min(max(patch, round(side / patch) * patch), large // patch * patch)
            msg = (
                f"local_crop {local} needs multiples of the encoder's patch, {patch}, no "
                f"larger than crop {crop}; the nearest to {side} is {near}"
            )
            raise ValueError(msg)


def check_range(pair: tuple[float, float]) -> None:
    """Raise ValueError unless 0 < low <= high."""
    if not 0 < pair[0] <= pair[1]:
        msg = f"expected [low, high] with 0 < low <= high, not {list(pair)}"
        raise ValueError(msg)
