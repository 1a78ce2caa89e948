"""Multi-scale deformable attention in two and three dimensions, in plain PyTorch.

A query looks at a few places of each level of a feature pyramid, not at all of them: the
places are its own position and learnt offsets, and what lies between grid points is
interpolated linearly (3DINO, '3D ViT-Adapter'; METHODS 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..schema.protocols.frozen_adapter import HEADS
from .init import initialise

Grid = Sequence[int]

# The first offsets of the heads: the octants of a volume (3DINO), the eight neighbours
# of a pixel (Deformable DETR, as 3DINO quotes it). So there are eight heads in both.
FIRST_OFFSETS = {
    2: tuple(each for each in product((-1, 0, 1), repeat=2) if any(each)),
    3: tuple(product((-1, 1), repeat=3)),
}


class DeformableAttention(nn.Module):
    """Queries gather values of a pyramid at learnt places.

    width: channels in and out; values and heads are a `ratio` of it wide. levels: grids
    that the values have; points: places per head and level (METHODS 2.3: 8 heads, 4
    points, a ratio of 0.25). At the start the offsets of head h are its octant (in 2-D
    its neighbour) times 1, 2, .. points, the same for every query, and all places weigh
    the same. as_released: coordinates in the order of 3DINO's code, which reads the value
    map with its axes permuted (METHODS 2.3, 'Axis trap'); in volumes only.

    Raises ValueError where the heads do not divide the width of the values.
    """

    def __init__(
        self,
        width: int,
        levels: int,
        *,
        dims: int = 3,
        points: int = 4,
        ratio: float = 0.25,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        inner = int(width * ratio)
        if inner < HEADS or inner % HEADS:
            msg = f"{HEADS} heads must divide the width of the values, {inner}"
            raise ValueError(msg)
        if as_released and dims != 3:
            msg = "the released order of axes is one of volumes; images have none"
            raise ValueError(msg)
        self.dims, self.levels, self.points = dims, levels, points
        self.as_released = as_released
        self.values = nn.Linear(width, inner)
        self.offsets = nn.Linear(width, HEADS * levels * points * dims)
        self.weights = nn.Linear(width, HEADS * levels * points)
        self.out = nn.Linear(inner, width)

    def reset(self, rng: torch.Generator) -> None:
        """Set the first weights: octants, equal weights, Xavier for the projections."""
        initialise(self, rng)
        first = torch.tensor(FIRST_OFFSETS[self.dims], dtype=torch.float32)
        reach = torch.arange(1, self.points + 1, dtype=torch.float32)
        aims = first[:, None, None, :] * reach[:, None]  # (H, 1, P, dims)
        with torch.no_grad():
            for still in (self.offsets.weight, self.weights.weight):
                still.zero_()
            aims = aims.expand(-1, self.levels, -1, -1).flatten()
            self.offsets.bias.copy_(aims)
            for projection in (self.values, self.out):
                if not projection.weight.is_meta:
                    nn.init.xavier_uniform_(projection.weight, generator=rng)

    def forward(
        self, queries: Tensor, places: Tensor, values: Tensor, grids: Sequence[Grid]
    ) -> Tensor:
        """Return what the queries gather, (B, Q, C).

        queries: (B, Q, C). places: (Q, dims), where they lie, as shares of the sides in
        [0, 1] by axis. values: (B, V, C), the levels one after the other, each row-major;
        grids: the sides of each level.
        """
        b, q, _ = queries.shape
        value = self.values(values).view(b, values.shape[1], HEADS, -1)
        # Places need more than half precision: a voxel of 112 would be a step too small.
        offsets = self.offsets(queries).float()
        weights = self.weights(queries).float()
        offsets = offsets.view(b, q, HEADS, self.levels, self.points, self.dims)
        weights = weights.view(b, q, HEADS, self.levels * self.points).softmax(dim=-1)
        sides = torch.tensor([tuple(g) for g in grids], dtype=offsets.dtype)
        sides = sides.to(offsets.device)[:, None, :]  # (L, 1, dims)
        at = places.to(offsets)[:, None, None, None, :] + offsets / sides
        if self.as_released:
            at = at.roll(1, dims=-1)
        weights = weights.view(b, q, HEADS, self.levels, self.points)
        gathered: Tensor = self.out(sample(value, grids, at, weights).to(queries.dtype))
        return gathered


def sample(
    value: Tensor, grids: Sequence[Grid], places: Tensor, weights: Tensor
) -> Tensor:
    """Return the weighted sum of interpolated values, per query and head.

    value: (B, V, H, d), levels one after the other, each row-major. places: (B, Q, H, L,
    P, dims), shares of the sides in axis order; 0 and 1 are the outer edges of the first
    and last voxel, and outside there are zeros. weights: (B, Q, H, L, P). Returns (B, Q,
    H d).
    """
    b, _, heads, d = value.shape
    q, dims = places.shape[1], places.shape[-1]
    # grid_sample's first coordinate belongs to the last axis.
    grid = (2 * places - 1).flip(-1).permute(3, 0, 2, 1, 4, 5)
    grid = grid.reshape(len(grids), b * heads, q, -1, *[1] * (dims - 2), dims)
    weights = weights.permute(3, 0, 2, 1, 4).reshape(len(grids), b * heads, 1, q, -1)
    total = value.new_zeros(())
    sizes = [torch.Size(each).numel() for each in grids]
    for level, part in enumerate(torch.split(value, sizes, 1)):
        rows = part.permute(0, 2, 3, 1).reshape(b * heads, d, *grids[level])
        found = functional.grid_sample(
            rows.to(grid.dtype), grid[level], padding_mode="zeros", align_corners=False
        )
        found = found.view(b * heads, d, q, -1)
        total = total + (found * weights[level]).sum(dim=-1)
    return total.view(b, heads * d, q).transpose(1, 2)


def centres(grid: Grid, device: torch.device) -> Tensor:
    """Return where the voxels of a grid lie, row-major: (V, dims), shares of the sides."""
    axes = [(torch.arange(n, device=device) + 0.5) / n for n in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
