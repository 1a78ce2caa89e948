"""Corruptions that a network learns to undo, for whole batches on their device.

Models Genesis shuffles, remaps and paints over parts of a volume (METHODS 1.9); Tang's
pretraining cuts boxes out (METHODS 1.10). Images are (B, C, *sides) in [0, 1]. Where a
corruption is drawn, draws come from the generator, one set per sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from .draws import rows
from .intensity import uniform


def shuffle_locally(
    x: Tensor, rng: torch.Generator, *, share: float = 0.1, passes: int = 2
) -> Tensor:
    """Permute voxels inside small windows that tile each sample at random.

    Sides of windows are drawn from 1 to `share` of a side. The published code draws
    10,000 windows one after the other, which touch each voxel of a 64x64x32 volume about
    twice; here each of `passes` is a random tiling that touches every voxel once, and one
    sort does it for the whole batch. All channels move together.
    """
    b, c = x.shape[:2]
    sides = x.shape[2:]
    flat = x.reshape(b, c, -1)
    for _ in range(passes):
        window = _tiling(b, sides, share, rng).to(x.device).flatten(1)  # (B, N)
        order = rows(
            b,
            lambda n: torch.rand(
                n, sides.numel(), generator=rng, device=rng.device, dtype=torch.float64
            ),
        ).to(x.device)
        # Sorting by window, then by chance, lists each window's voxels in random order;
        # a stable sort by window alone lists the places that they go to.
        from_ = (window + order).argsort(dim=1)
        to = window.argsort(dim=1, stable=True)
        source = torch.empty_like(from_).scatter_(1, to, from_)
        flat = flat.gather(2, source[:, None].expand(-1, c, -1))
    return flat.view_as(x)


def _tiling(b: int, sides: Sequence[int], share: float, rng: torch.Generator) -> Tensor:
    """Return the number of each voxel's window in random tilings, int64 (B, *sides)."""
    window = torch.zeros((b, *[1] * len(sides)), dtype=torch.int64, device=rng.device)
    for axis, side in enumerate(sides):
        ends = _cuts(b, side, max(1, int(share * side)), rng)
        place = torch.arange(side, device=rng.device).expand(b, side).contiguous()
        index = torch.searchsorted(ends, place, right=True)  # (B, side)
        shape = [b, *(side if a == axis else 1 for a in range(len(sides)))]
        window = window * side + index.view(shape)
    return window


def _cuts(b: int, side: int, largest: int, rng: torch.Generator) -> Tensor:
    """Return where windows of 1 to `largest` voxels end along an axis, (b, side)."""

    def widths(n: int) -> Tensor:
        return torch.randint(
            1, largest + 1, (n, side), generator=rng, device=rng.device
        )

    return rows(b, widths).cumsum(dim=1)


def remap(x: Tensor, controls: Tensor, falling: Tensor, *, knots: int = 256) -> Tensor:
    """Map intensities through a monotone cubic Bézier curve per sample.

    controls: (B, 2, 2), the two inner control points (x, y) in [0, 1]; the outer ones are
    (0, 0) and (1, 1). falling: bool (B,), take the curve's mirror image 1 - y. The curve
    is evaluated at `knots` points, sorted so that it is monotone, and read linearly.
    """
    t = torch.linspace(0, 1, knots, device=x.device, dtype=x.dtype)
    basis = torch.stack([3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t)])  # (2, knots)
    curve = torch.einsum("bpc,pk->bck", controls.to(x), basis) + t**3
    u, v = curve[:, 0].sort(dim=1).values, curve[:, 1].sort(dim=1).values
    v = torch.where(falling.to(x.device)[:, None], 1 - v, v)
    flat = x.flatten(1).contiguous()
    high = torch.searchsorted(u.contiguous(), flat).clamp(1, knots - 1)
    u0, u1, v0, v1 = (
        table.gather(1, index) for table in (u, v) for index in (high - 1, high)
    )
    weight = ((flat - u0) / (u1 - u0).clamp(min=1e-12)).clamp(0, 1)
    return (v0 + weight * (v1 - v0)).view_as(x)


def boxes(start: Tensor, length: Tensor, alive: Tensor, sides: Sequence[int]) -> Tensor:
    """Return where boxes lie: bool (B, 1, *sides).

    start, length: int64 (B, N, dims), in voxels, inside the image; alive: bool (B, N),
    boxes that count. Corners are added up and summed along each axis, so the time does
    not depend on how many boxes there are.
    """
    b, _, dims = start.shape
    corners = torch.zeros((b, *(side + 1 for side in sides)), device=start.device)
    which = torch.arange(b, device=start.device)[:, None].expand(alive.shape)
    for far in product((False, True), repeat=dims):
        place = [
            start[..., axis] + (length[..., axis] if ends else 0)
            for axis, ends in enumerate(far)
        ]
        sign = alive.to(corners.dtype) * (-1.0) ** sum(far)
        corners.index_put_((which, *place), sign, accumulate=True)
    for axis in range(1, dims + 1):
        corners = corners.cumsum(dim=axis)
    inner = (slice(None), *(slice(0, side) for side in sides))
    return (corners[inner] > 0.5).unsqueeze(1)


def draw_boxes(
    b: int,
    number: int,
    sides: Sequence[int],
    low: float,
    high: float,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw boxes with sides of `low` to `high` of the image's, anywhere inside it.

    Returns start and length, int64 (b, number, dims).
    """
    size = torch.tensor(sides, device=rng.device)
    drawn = rows(
        b,
        lambda n: torch.rand(
            (n, number, 2, len(sides)), generator=rng, device=rng.device
        ),
    )
    length = ((low + (high - low) * drawn[:, :, 0]) * size).round().long()
    length = length.clamp(min=1).minimum(size)
    start = (drawn[:, :, 1] * (size - length + 1)).floor().long()
    return start.minimum(size - length), length


def a_few(b: int, most: int, chance: float, rng: torch.Generator) -> Tensor:
    """Return which of `most` boxes are drawn when each next one comes with `chance`.

    The first always is. Returns bool (b, most).
    """
    go_on = rows(
        b, lambda n: torch.rand((n, most - 1), generator=rng, device=rng.device)
    )
    first = torch.ones((b, 1), dtype=torch.bool, device=rng.device)
    return torch.cat([first, (go_on < chance).cumprod(dim=1).bool()], dim=1)


def cut_out(
    b: int,
    sides: Sequence[int],
    rng: torch.Generator,
    *,
    most: float = 0.3,
    low: float = 0.05,
    high: float = 0.25,
) -> Tensor:
    """Draw boxes until a share of the image, uniform up to `most`, is reached.

    Their sides are `low` to `high` of the image's (METHODS 1.10). The volume of boxes is
    counted without regard to overlap, as in the published code, and the box that would
    pass the share is not drawn: at most `most` is covered. Returns bool (b, 1, *sides).
    """
    share = uniform(b, 0.0, most, rng)
    typical = ((low + high) / 2) ** len(sides)
    number = max(1, math.ceil(2 * most / typical))
    start, length = draw_boxes(b, number, sides, low, high, rng)
    volume = length.to(torch.float64).prod(dim=2).cumsum(dim=1) / math.prod(sides)
    alive = volume <= share[:, None]
    return boxes(start, length, alive, sides)
