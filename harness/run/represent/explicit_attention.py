"""Attention read through an explicit path, which puts out what the fast one does.

The probabilities of a layer with which keys are a query's own: keys that a window's shift
put on the other side of the grid are none, and neither is padding, which has no place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...nn.swin import WindowAttention
from ...nn.transformer import Attention
from ...nn.windows import cut, fit_window, put_back, shift_masks
from .layers import encoder_layers


@dataclass(frozen=True)
class Attended:
    """The attention of one layer on one batch.

    probabilities: (W, H, n, n), W windows (samples, where attention is global), H heads,
    n queries by n keys; allowed: bool (W, n, n), whether a key is one of a query's;
    places: (W, n, dims), where a token lies, in tokens, nan where it lies nowhere; counts:
    bool (W, n), whether a query counts (no padding, no class token); output: what the
    layer puts out; longest: from corner to corner of a window, in tokens.
    """

    probabilities: Tensor
    allowed: Tensor
    places: Tensor
    counts: Tensor
    output: Tensor
    longest: float


def of_windows(layer: WindowAttention, x: Tensor, *, shifted: bool) -> Attended:
    """Compute a Swin layer's attention explicitly. x: (B, *grid, C)."""
    grid = tuple(x.shape[1:-1])
    window, shift = fit_window(grid, layer.window)
    kind, masks = None, None
    if shifted and any(shift):
        kind, masks = shift_masks(grid, window, shift, x.device)
    else:
        shift = (0,) * len(grid)
    windows = cut(x, window, shift)
    count, n, c = windows.shape
    qkv = layer.qkv(windows).view(count, n, 3, layer.heads, c // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + layer.bias(window, n)
    per_sample = count // len(x)
    real = cut(torch.ones(1, *grid, 1, device=x.device), window, shift)[..., 0] > 0
    allowed = torch.ones(per_sample, n, n, dtype=torch.bool, device=x.device)
    if kind is not None and masks is not None:
        allowed = masks[kind] == 0
        scores = scores + masks[kind].repeat(len(x), 1, 1)[:, None]
    probabilities = scores.softmax(dim=-1)
    mixed = (probabilities @ v).transpose(1, 2).flatten(2)
    axes = [torch.arange(side, device=x.device) for side in grid]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[None].float()
    places = cut(where, window, shift)
    return Attended(
        probabilities,
        (allowed & real[:, None]).repeat(len(x), 1, 1),
        places.repeat(len(x), 1, 1),
        real.repeat(len(x), 1),
        put_back(layer.out(mixed), window, shift, grid),
        _diagonal(window),
    )


def of_all(layer: Attention, x: Tensor, grid: Sequence[int]) -> Attended:
    """Compute a layer of global attention explicitly. x: (B, 1 + N, C), class token first.

    The class token is a key like any other for entropy, but has no place: it is left out
    of distances, and is no query.
    """
    b, n, c = x.shape
    qkv = layer.qkv(x).view(b, n, 3, layer.heads, c // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    probabilities = scores.softmax(dim=-1)
    output = layer.out((probabilities @ v).transpose(1, 2).reshape(b, n, c))
    axes = [torch.arange(side, device=x.device) for side in grid]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    where = where.reshape(1, -1, len(grid)).float()
    nowhere = torch.full((1, 1, len(grid)), math.nan, device=x.device)
    counts = torch.ones(b, n, dtype=torch.bool, device=x.device)
    counts[:, 0] = False
    return Attended(
        probabilities,
        torch.ones(b, n, n, dtype=torch.bool, device=x.device),
        torch.cat([nowhere, where], dim=1).repeat(b, 1, 1),
        counts,
        output,
        _diagonal(grid),
    )


def _diagonal(sides: Sequence[int]) -> float:
    return math.hypot(*(side - 1 for side in sides))


def layers_of(encoder: nn.Module) -> dict[str, WindowAttention | Attention]:
    """Return the attention of each block of an encoder, by the block's name."""
    attentions = (
        (name, getattr(block, "attention", None))
        for name, block in encoder_layers(encoder).items()
    )
    return {
        name: layer
        for name, layer in attentions
        if isinstance(layer, (WindowAttention, Attention))
    }
