"""Predictions of whole volumes: sliding windows, centre crops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..schema.protocols.settings import WindowPadding, WindowWeights

Network = Callable[[Tensor], Tensor]
_SIGMA = 0.125  # of a window's side; nnU-Net and MONAI
_LEAST = 1e-3  # weight of a corner, so that no voxel is divided by next to nothing


@dataclass(frozen=True)
class Windows:
    """How whole volumes are covered (METHODS 2.11).

    size: sides of a window, the training crop; overlap: share of a window in [0, 1);
    weights: 'constant', or 'gaussian' as nnU-Net has it, which trusts the middle of a
    window more; padding: what stands around a volume that is smaller than a window,
    'zero', which is air, or 'edge', its border repeated.
    """

    size: tuple[int, ...]
    overlap: float
    weights: WindowWeights = "constant"
    padding: WindowPadding = "zero"

    def count(self, shape: Sequence[int]) -> int:
        """Return how many windows cover a volume with these sides."""
        return math.prod(map(len, self._starts(shape)))

    def _starts(self, shape: Sequence[int]) -> list[list[int]]:
        return [
            _starts(max(size, side), side, self.overlap)
            for size, side in zip(shape, self.size, strict=True)
        ]

    def places(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the first voxel of every window in the padded volume."""
        return list(product(*self._starts(shape)))

    def cut(self, volume: Tensor) -> Tensor:
        """Return all windows of a volume (C, *sides), (n, C, *size), in their order."""
        padded = _pad_to(volume, self.size, self.padding)
        boxes = [_box(place, self.size) for place in self.places(volume.shape[1:])]
        return torch.stack([padded[(slice(None), *box)] for box in boxes])

    def weight(self, like: Tensor) -> Tensor:
        """Return the weight of every voxel of a window, on the device of `like`."""
        total = like.new_ones(self.size)
        if self.weights == "constant":
            return total
        for axis, side in enumerate(self.size):
            away = torch.arange(side, device=like.device) - (side - 1) / 2
            bell = torch.exp(-(away**2) / (2 * (_SIGMA * side) ** 2))
            shape = [-1 if axis == other else 1 for other in range(len(self.size))]
            total = total * bell.reshape(shape).to(total)
        return total.clamp_min(max(float(total.min()), _LEAST))


def sliding_window(
    network: Network,
    volume: Tensor,
    windows: Windows,
    *,
    batch: int = 4,
    device: torch.device | None = None,
) -> Tensor:
    """Return the logits of a whole volume, the weighted mean of its windows.

    volume: (C, *sides); device: of the network, where it is not the volume's: only the
    windows of a batch go there, and logits gather where the volume is. A volume smaller
    than a window is padded on both sides and the result cut back. Returns (classes,
    *sides). The same windows and weights as MONAI's sliding_window_inference.
    """
    shape = volume.shape[1:]
    padded = _pad_to(volume, windows.size, windows.padding)
    before = [
        max(side - size, 0) // 2 for side, size in zip(windows.size, shape, strict=True)
    ]
    places = windows.places(shape)
    weight = windows.weight(volume)
    total: Tensor | None = None
    count = volume.new_zeros(padded.shape[1:])
    for first in range(0, len(places), batch):
        boxes = [_box(place, windows.size) for place in places[first : first + batch]]
        seen = torch.stack([padded[(slice(None), *box)] for box in boxes])
        logits = network(seen.to(device or volume.device)).to(volume.device)
        if total is None:
            total = logits.new_zeros((logits.shape[1], *padded.shape[1:]))
        for box, part in zip(boxes, logits, strict=True):
            total[(slice(None), *box)].addcmul_(part, weight)
            count[box] += weight
    assert total is not None  # every volume has at least one window
    kept = tuple(slice(b, b + size) for b, size in zip(before, shape, strict=True))
    total /= count  # in place: of a large volume there is no room for a second one
    return total[(slice(None), *kept)]


def most_likely(scores: Tensor) -> NDArray[np.uint8]:
    """Return the class (*sides) with the largest of scores (classes, *sides).

    Of equal ones the lower class. Layer by layer: the 64-bit places that argmax gives
    would take as much memory as two classes of the whole volume.
    """
    found = torch.empty(scores.shape[1:], dtype=torch.uint8)
    for layer, own in zip(found, scores.unbind(1), strict=True):
        layer.copy_(own.argmax(dim=0))
    return found.numpy()


def softmax_(logits: Tensor) -> Tensor:
    """Turn logits (classes, *sides) into shares, in place: no second copy of a volume."""
    logits -= logits.amax(dim=0)
    logits.exp_()
    logits /= logits.sum(dim=0)
    return logits


def _starts(size: int, side: int, overlap: float) -> list[int]:
    """First voxels of windows that cover an axis; the last one is moved inside."""
    step = side if side == size else max(int(side * (1 - overlap)), 1)
    count = math.ceil((size - side) / step) + 1
    return [min(k * step, size - side) for k in range(count)]


def _box(place: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(start, start + side) for start, side in zip(place, window, strict=True)
    )


def _pad_to(
    volume: Tensor, size: Sequence[int], padding: WindowPadding = "zero"
) -> Tensor:
    """Pad the spatial axes to at least `size`, the smaller half in front."""
    pads: list[int] = []
    for side, have in zip(reversed(size), reversed(volume.shape[1:]), strict=True):
        missing = max(side - have, 0)
        pads += [missing // 2, missing - missing // 2]
    mode = {"zero": "constant", "edge": "replicate"}[padding]
    return F.pad(volume, pads, mode=mode) if any(pads) else volume


def centre_crop(volume: Tensor, size: Sequence[int]) -> Tensor:
    """Return the central `size` voxels of (C, D, H, W), padded with 0 where smaller."""
    padded = _pad_to(volume, size)
    place = [
        (have - side) // 2 for have, side in zip(padded.shape[1:], size, strict=True)
    ]
    return padded[(slice(None), *_box(place, size))]
