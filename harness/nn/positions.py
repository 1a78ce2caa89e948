"""Positions of patch tokens: how they start, and how they fit another grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_BASE = (
    100.0  # a wave is at most 2 pi x 100 patches long: grids have tens, not thousands
)


def sine_positions(width: int, grid: Sequence[int]) -> Tensor:
    """Return waves (1, width, *grid), in [-1, 1], that name each place of a grid.

    An axis has F = width // (2 axes) sines and as many cosines of i / 100^(f / F), with i
    the patch along it and f < F; channels that are left over are 0. MAE's, which has a
    longest wave of 2 pi x 10,000 (He et al. 2022, section 3; 100 chosen here). Raises
    ValueError where the width leaves an axis without a wave.
    """
    count = width // (2 * len(grid))
    if count < 1:
        msg = f"width {width} has no sine and cosine for each of {len(grid)} axes"
        raise ValueError(msg)
    rates = _BASE ** (-torch.arange(count) / count)
    waves = torch.zeros(width, *grid)
    for axis, side in enumerate(grid):
        phase = rates[:, None] * torch.arange(side)  # (F, side)
        both = torch.cat([phase.sin(), phase.cos()])
        shape = [2 * count, *(side if a == axis else 1 for a in range(len(grid)))]
        start = 2 * count * axis
        waves[start : start + 2 * count] = both.view(shape)
    return waves[None]


def start_positions(table: Tensor, start: str) -> None:
    """Let learnt positions (1, C, *grid) begin as waves; "normal": leave them alone."""
    if start == "sines":
        with torch.no_grad():
            table.copy_(sine_positions(table.shape[1], table.shape[2:]))


def resized(table: Tensor, grid: Sequence[int]) -> Tensor:
    """Return positions (1, C, *grid_0), resized linearly if need be, as (1, *grid, C)."""
    if tuple(table.shape[2:]) != tuple(grid):
        mode = "bilinear" if len(grid) == 2 else "trilinear"
        table = functional.interpolate(table, size=tuple(grid), mode=mode)
    return table.movedim(1, -1)
