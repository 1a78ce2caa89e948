"""Predictions of whole volumes: sliding windows, centre crops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Callable[[Tensor], Tensor]


def sliding_window(
    network: Network,
    volume: Tensor,
    window: Sequence[int],
    *,
    overlap: float,
    batch: int = 4,
) -> Tensor:
    """Return the logits of a whole volume, windows averaged with equal weight.

    volume: (C, D, H, W); window: the training crop; overlap: share of a window in [0,
    1). A volume smaller than the window is padded with 0 on both sides and the result
    cut back. Returns (classes, D, H, W). The same windows, padding and weights as
    MONAI's sliding_window_inference in mode 'constant' (METHODS 2.11).
    """
    shape = volume.shape[1:]
    padded = _pad_to(volume, window)
    before = [
        max(side - size, 0) // 2 for side, size in zip(window, shape, strict=True)
    ]
    places = list(
        product(
            *(
                _starts(size, side, overlap)
                for size, side in zip(padded.shape[1:], window, strict=True)
            )
        )
    )
    total: Tensor | None = None
    count = volume.new_zeros(padded.shape[1:])
    for first in range(0, len(places), batch):
        boxes = [_box(place, window) for place in places[first : first + batch]]
        logits = network(torch.stack([padded[(slice(None), *box)] for box in boxes]))
        if total is None:
            total = logits.new_zeros((logits.shape[1], *padded.shape[1:]))
        for box, part in zip(boxes, logits, strict=True):
            total[(slice(None), *box)] += part
            count[box] += 1
    assert total is not None  # every volume has at least one window
    kept = tuple(slice(b, b + size) for b, size in zip(before, shape, strict=True))
    return (total / count)[(slice(None), *kept)]


def _starts(size: int, side: int, overlap: float) -> list[int]:
    """First voxels of windows that cover an axis; the last one is moved inside."""
    step = side if side == size else max(int(side * (1 - overlap)), 1)
    count = math.ceil((size - side) / step) + 1
    return [min(k * step, size - side) for k in range(count)]


def _box(place: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(start, start + side) for start, side in zip(place, window, strict=True)
    )


def _pad_to(volume: Tensor, size: Sequence[int]) -> Tensor:
    """Pad the spatial axes with 0 to at least `size`, the smaller half in front."""
    pads: list[int] = []
    for side, have in zip(reversed(size), reversed(volume.shape[1:]), strict=True):
        missing = max(side - have, 0)
        pads += [missing // 2, missing - missing // 2]
    return F.pad(volume, pads) if any(pads) else volume


def centre_crop(volume: Tensor, size: Sequence[int]) -> Tensor:
    """Return the central `size` voxels of (C, D, H, W), padded with 0 where smaller."""
    padded = _pad_to(volume, size)
    place = [
        (have - side) // 2 for have, side in zip(padded.shape[1:], size, strict=True)
    ]
    return padded[(slice(None), *_box(place, size))]
