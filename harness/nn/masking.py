"""Which parts of a volume are hidden: masks over cubes of voxels ("units")."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .draws import rows


def random_units(
    batch: int,
    grid: Sequence[int],
    ratio: float,
    rng: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hide exactly ceil(ratio * units) units of a sample, all choices equally likely.

    ratio in [0, 1]; SimMIM and SMIT round up (METHODS 1.27). Drawn on the generator's
    device, so that a seed gives the same masks wherever they go. Returns bool (batch,
    *grid), True = hidden.
    """
    if not 0 <= ratio <= 1:
        msg = f"mask ratio must lie between 0 and 1, not {ratio}"
        raise ValueError(msg)
    units = math.prod(grid)
    hidden = math.ceil(ratio * units - 1e-9)  # 0.1 * 30 is 3.0000000000000004
    noise = rows(
        batch, lambda n: torch.rand(n, units, generator=rng, device=rng.device)
    )
    chosen = noise.argsort(dim=1)[:, :hidden]
    mask = torch.zeros(batch, units, dtype=torch.bool, device=rng.device)
    mask.scatter_(1, chosen, value=True)
    return mask.view(batch, *grid).to(device or rng.device)


def upsample_units(mask: Tensor, unit: int) -> Tensor:
    """Spread a decision per unit over its voxels.

    mask: bool (B, *grid). Returns bool (B, 1, *(grid * unit)), constant inside each
    unit.
    """
    return spread(mask, unit).unsqueeze(1)


def spread(mask: Tensor, factor: int) -> Tensor:
    """Repeat each cell of (B, *grid) `factor` times along every axis of the grid."""
    for axis in range(1, mask.ndim):
        mask = mask.repeat_interleave(factor, dim=axis)
    return mask
