"""Windows of a 2-D or 3-D grid of tokens: cut, put back, shift, relative offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from .settings import ShrunkBias

Grid = tuple[int, ...]  # a side per axis: two or three

# Added to the attention between tokens that only the cyclic shift made neighbours.
# Large enough that exp underflows to exactly 0 (MONAI's -100 leaves denormal numbers,
# which are slow), small enough for float16.
APART = -1e4
CPU = torch.device("cpu")


def fit_window(grid: Sequence[int], window: int) -> tuple[Grid, Grid]:
    """Return (window, shift) per axis for a grid of tokens.

    An axis no longer than the window has one window of its own length and is not
    shifted.
    """
    sides = tuple(min(window, side) for side in grid)
    shifts = tuple(window // 2 if side > window else 0 for side in grid)
    return sides, shifts


def pad_grid(x: Tensor, extra: Sequence[int]) -> Tensor:
    """Append `extra` zero tokens per axis to (B, *grid, C)."""
    if not any(extra):
        return x
    ends = [end for more in reversed(extra) for end in (0, more)]
    return functional.pad(x, (0, 0, *ends))


def cut(x: Tensor, window: Grid, shift: Grid) -> Tensor:
    """Pad with zeros to whole windows, roll by -shift and cut.

    x: (B, *grid, C). Returns (B * windows, tokens, C), windows in row-major order.
    """
    b, *grid, c = x.shape
    x = pad_grid(x, [-s % length for s, length in zip(grid, window, strict=True)])
    dims = len(grid)
    if any(shift):
        x = x.roll([-s for s in shift], dims=tuple(range(1, dims + 1)))
    counts = [s // n for s, n in zip(x.shape[1:-1], window, strict=True)]
    x = x.view(b, *_interleaved(counts, window), c)
    return x.permute(0, *_apart(dims), 2 * dims + 1).reshape(
        b * math.prod(counts), -1, c
    )


def put_back(windows: Tensor, window: Grid, shift: Grid, grid: Grid) -> Tensor:
    """Undo `cut`: (B * windows, tokens, C) to (B, *grid, C), padding dropped."""
    counts = [-(-s // length) for s, length in zip(grid, window, strict=True)]
    c, dims = windows.shape[-1], len(grid)
    x = windows.view(-1, *counts, *window, c)
    order = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]
    x = x.permute(0, *order, 2 * dims + 1)
    x = x.reshape(-1, *(n * w for n, w in zip(counts, window, strict=True)), c)
    if any(shift):
        x = x.roll(shift, dims=tuple(range(1, dims + 1)))
    return x[:, *(slice(side) for side in grid)]


def _interleaved(counts: Sequence[int], window: Grid) -> list[int]:
    return [n for pair in zip(counts, window, strict=True) for n in pair]


def _apart(dims: int) -> list[int]:
    """Return the axes of interleaved (count, side) pairs: counts, then sides."""
    return [*range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]


@lru_cache(maxsize=64)
def offset_index(
    window: Grid, full: int, rule: ShrunkBias, device: torch.device = CPU
) -> Tensor:
    """Row of the bias table for each pair of tokens: int64 (tokens * tokens,).

    The table has (2 full - 1)^dims rows, one per offset between two tokens, row-major. A
    window that shrank to its grid uses, by `rule`, the rows of its tokens' true offsets
    or those of the first tokens of a full window. The latter mixes offsets up, but it
    is what SwinUNETR was published with and what its public weights were trained with.
    """
    dims = len(window)
    sides = (full,) * dims if rule == "first_tokens" else window
    axes = [torch.arange(side) for side in sides]
    place = torch.cartesian_prod(*axes)[: math.prod(window)]
    offset = place[:, None, :] - place[None, :, :] + full - 1  # (tokens, tokens, dims)
    rows = torch.tensor([(2 * full - 1) ** axis for axis in reversed(range(dims))])
    return (offset @ rows).flatten().to(device)


@lru_cache(maxsize=64)
def shift_masks(
    grid: Grid, window: Grid, shift: Grid, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Masks of shifted windows, one per kind of window rather than one per window.

    Along an axis only the last window holds tokens from both ends of the grid, so there
    are at most 2^dims kinds. Returns kind of each window, int64 (windows,), 0 = nothing
    to mask, and what is added to the attention, (2^dims, tokens, tokens), 0 or APART.
    """
    counts = [-(-side // length) for side, length in zip(grid, window, strict=True)]
    axes = [torch.arange(count) for count in counts]
    dims = len(grid)
    place = torch.cartesian_prod(*axes)  # (windows, dims)
    last = (place == torch.tensor(counts) - 1) & (torch.tensor(shift) > 0)
    kind = (last * torch.tensor([2**axis for axis in reversed(range(dims))])).sum(dim=1)
    tokens = torch.cartesian_prod(*[torch.arange(side) for side in window])
    from_front = tokens >= torch.tensor(window) - torch.tensor(shift)  # (tokens, dims)
    crosses = from_front[:, None, :] != from_front[None, :, :]
    kinds = torch.cartesian_prod(*[torch.tensor([False, True])] * dims)
    apart = (crosses[None] & kinds[:, None, None, :]).any(dim=-1)
    # Not of the default type: what is kept serves whoever asks next.
    return kind.to(device), (apart.float() * APART).to(device)
