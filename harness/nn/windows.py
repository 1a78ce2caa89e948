"""Windows of a 3-D grid of tokens: cut, put back, shift, relative offsets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Grid = tuple[int, int, int]
ShrunkBias = Literal["first_tokens", "offsets"]

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
    return (sides[0], sides[1], sides[2]), (shifts[0], shifts[1], shifts[2])


def cut(x: Tensor, window: Grid, shift: Grid) -> Tensor:
    """Pad with zeros to whole windows, roll by -shift and cut.

    x: (B, D, H, W, C). Returns (B * windows, tokens, C), windows in row-major order.
    """
    b, *grid, c = x.shape
    extra = [-side % length for side, length in zip(grid, window, strict=True)]
    if any(extra):
        x = functional.pad(x, (0, 0, 0, extra[2], 0, extra[1], 0, extra[0]))
    if any(shift):
        x = x.roll([-s for s in shift], dims=(1, 2, 3))
    d, h, w = (s // n for s, n in zip(x.shape[1:4], window, strict=True))
    x = x.view(b, d, window[0], h, window[1], w, window[2], c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(b * d * h * w, -1, c)


def put_back(windows: Tensor, window: Grid, shift: Grid, grid: Grid) -> Tensor:
    """Undo `cut`: (B * windows, tokens, C) to (B, *grid, C), padding dropped."""
    d, h, w = (-(-side // length) for side, length in zip(grid, window, strict=True))
    c = windows.shape[-1]
    x = windows.view(-1, d, h, w, *window, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    x = x.reshape(-1, d * window[0], h * window[1], w * window[2], c)
    if any(shift):
        x = x.roll(shift, dims=(1, 2, 3))
    return x[:, : grid[0], : grid[1], : grid[2]]


@lru_cache(maxsize=64)
def offset_index(
    window: Grid, full: int, rule: ShrunkBias, device: torch.device = CPU
) -> Tensor:
    """Row of the bias table for each pair of tokens: int64 (tokens * tokens,).

    The table has (2 full - 1)^3 rows, one per offset between two tokens, row-major. A
    window that shrank to its grid uses, by `rule`, the rows of its tokens' true offsets
    or those of the first tokens of a full window. The latter mixes offsets up, but it
    is what SwinUNETR was published with and what its public weights were trained with.
    """
    sides = (full, full, full) if rule == "first_tokens" else window
    axes = [torch.arange(side) for side in sides]
    place = torch.cartesian_prod(*axes)[: window[0] * window[1] * window[2]]
    offset = place[:, None, :] - place[None, :, :] + full - 1  # (tokens, tokens, 3)
    span = 2 * full - 1
    return (offset @ torch.tensor([span * span, span, 1])).flatten().to(device)


@lru_cache(maxsize=64)
def shift_masks(
    grid: Grid, window: Grid, shift: Grid, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Masks of shifted windows, one per kind of window rather than one per window.

    Along an axis only the last window holds tokens from both ends of the grid, so there
    are at most 8 kinds. Returns kind of each window, int64 (windows,), 0 = nothing to
    mask, and what is added to the attention, (8, tokens, tokens), 0 or APART.
    """
    counts = [-(-side // length) for side, length in zip(grid, window, strict=True)]
    axes = [torch.arange(count) for count in counts]
    place = torch.cartesian_prod(*axes)  # (windows, 3)
    last = (place == torch.tensor(counts) - 1) & (torch.tensor(shift) > 0)
    kind = (last * torch.tensor([4, 2, 1])).sum(dim=1)
    tokens = torch.cartesian_prod(*[torch.arange(side) for side in window])
    from_front = tokens >= torch.tensor(window) - torch.tensor(shift)  # (tokens, 3)
    crosses = from_front[:, None, :] != from_front[None, :, :]  # (tokens, tokens, 3)
    kinds = torch.cartesian_prod(*[torch.tensor([False, True])] * 3)  # (8, 3)
    apart = (crosses[None] & kinds[:, None, None, :]).any(dim=-1)
    return kind.to(device), (apart * APART).to(device)
