"""Which parts of an image are hidden: masks over cubes of voxels ("units").

A grid of units has two or three axes. Every mask is bool (B, *grid), True = hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from .draws import rows

# Rounds of `block_units`; METHODS 1.15 gives up after ten failures in a row.
_ROUNDS, _TRIES = 48, 10


def random_units(
    batch: int,
    grid: Sequence[int],
    ratio: float,
    rng: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hide exactly ceil(ratio * units) units of a sample, all choices equally likely.

    ratio in [0, 1]; SimMIM and SMIT round up (METHODS 1.27). Drawn on the generator's
    device, so that a seed gives the same masks wherever they go.
    """
    if not 0 <= ratio <= 1:
        msg = f"mask ratio must lie between 0 and 1, not {ratio}"
        raise ValueError(msg)
    units = math.prod(grid)
    count = math.ceil(ratio * units - 1e-9)  # 0.1 * 30 is 3.0000000000000004
    counts = torch.full((batch,), count, device=rng.device)
    return random_counts(grid, counts, rng, device)


def random_counts(
    grid: Sequence[int],
    counts: Tensor,
    rng: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hide counts[i] units of sample i, all choices equally likely.

    counts: int64 (B,) on the generator's device.
    """
    units = math.prod(grid)
    noise = uniform_scores(len(counts), units, rng)
    hidden = ranks(noise) < counts[:, None]
    return hidden.view(-1, *grid).to(device or rng.device)


def ranks(score: Tensor) -> Tensor:
    """Return the rank of each entry of (B, N) in its row, 0 = smallest, ties in order."""
    return score.argsort(dim=1, stable=True).argsort(dim=1)


def block_units(
    grid: Sequence[int],
    counts: Tensor,
    rng: torch.Generator,
    device: torch.device | str | None = None,
) -> Tensor:
    """Hide cuboids (rectangles) until about counts[i] units of sample i are hidden.

    iBOT's blockwise masks (METHODS 1.15), in 3-D with two aspect factors: a block has a
    size from U((least side / 3)^dims, what is still to hide), sides in log-uniform
    proportions between 0.3 and 1/0.3, and a uniform place; it is rejected where it hides
    nothing new or more than is left. Never more than counts[i]; fewer if ten blocks in a
    row were rejected. counts: int64 (B,) on the generator's device.
    """
    batch, dims = len(counts), len(grid)
    sides = torch.tensor(grid, device=rng.device, dtype=torch.float32)
    least = (min(grid) / 3) ** dims
    hidden = torch.zeros(batch, *grid, dtype=torch.bool, device=rng.device)
    failures = torch.zeros(batch, dtype=torch.long, device=rng.device)
    for _ in range(_ROUNDS):
        # Every round draws the same number, so that the generator's state afterwards
        # does not depend on the masks.
        u = rows(batch, partial(_uniform, rng, 2 * dims))
        left = counts - hidden.flatten(1).sum(dim=1)
        size = least + u[:, 0] * (left - least).clamp(min=0)
        lengths = _lengths(size, u[:, 1:dims], sides)  # (B, dims)
        start = (u[:, dims:] * (sides - lengths + 1)).floor()
        block = _box(start, lengths, grid)
        new = (block & ~hidden).flatten(1).sum(dim=1)
        taken = (new > 0) & (new <= left) & (failures < _TRIES)
        hidden |= block & taken.view(-1, *[1] * dims)
        failures = torch.where(taken, 0, failures + 1)
    return hidden.to(device or rng.device)


def _lengths(size: Tensor, u: Tensor, sides: Tensor) -> Tensor:
    """Sides (B, dims) of blocks of a size, in log-uniform proportions u (B, dims - 1)."""
    aspect = (2 * u - 1) * math.log(1 / 0.3)
    log = torch.cat([torch.zeros_like(aspect[:, :1]), aspect], dim=1)
    log = log - log.mean(dim=1, keepdim=True)
    exact = size[:, None] ** (1 / len(sides)) * log.exp()
    return exact.round().clamp(min=1).minimum(sides)


def _box(start: Tensor, lengths: Tensor, grid: Sequence[int]) -> Tensor:
    """Bool (B, *grid), True inside [start, start + lengths) of each axis."""
    inside = torch.ones(len(start), *[1] * len(grid), dtype=torch.bool).to(start.device)
    for axis, side in enumerate(grid):
        place = torch.arange(side, device=start.device)
        first, last = start[:, axis, None], (start + lengths)[:, axis, None]
        along = (place >= first) & (place < last)  # (B, side)
        shape = [len(start), *[1] * len(grid)]
        shape[1 + axis] = side
        inside = inside & along.view(shape)
    return inside


def attended_units(
    attention: Tensor, counts: Tensor, *, hints: Tensor | int = 0, low: bool = False
) -> Tensor:
    """Hide the units that are attended most (or least), but for the very first `hints`.

    Sorted by attention, descending (ascending if `low`), the ranks hints[i] + 1 to
    counts[i] are hidden (METHODS 1.19, 6 #5). attention: (B, *grid); counts: (B,).
    """
    score = attention.detach().flatten(1)
    rank = ranks(score if low else -score)
    counts = counts.to(rank.device)[:, None]
    if isinstance(hints, Tensor):
        hints = hints.to(rank.device)[:, None]
    return ((rank >= hints) & (rank < counts)).view(attention.shape)


def shared_ranks(one: Tensor, other: Tensor, share: float) -> Tensor:
    """Part of the `share` most attended units of one that are those of the other too.

    From 0 to 1; about `share` where the two have nothing to do with each other. one,
    other: (B, *grid); share in (0, 1]. Returns (B,).
    """
    count = math.ceil(share * one[0].numel())
    tops = [ranks(-each.detach().flatten(1)) < count for each in (one, other)]
    return (tops[0] & tops[1]).sum(dim=1) / count


def reveal(
    hidden: Tensor, attention: Tensor, counts: Tensor, rng: torch.Generator, top: float
) -> Tensor:
    """Show counts[i] units again, drawn from the `top` share attended most (AttMask).

    METHODS 1.16: the drawn units are hints; those that were not hidden stay visible.
    """
    score = attention.detach().flatten(1)
    units = score.shape[1]
    pool = ranks(-score) < math.ceil(top * units)
    noise = uniform_scores(len(score), units, rng).to(score.device)
    order = ranks(torch.where(pool, noise, 2.0))
    shown = (order < counts.to(order.device)[:, None]) & pool
    return hidden & ~shown.view(hidden.shape)


def uniform_scores(batch: int, units: int, rng: torch.Generator) -> Tensor:
    """Return a random score per unit, (batch, units), on the generator's device."""
    return rows(batch, partial(_uniform, rng, units))


def _uniform(rng: torch.Generator, width: int, number: int) -> Tensor:
    return torch.rand(number, width, generator=rng, device=rng.device)


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
