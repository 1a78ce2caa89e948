"""Convolutional decoder for segmentation, as in SwinUNETR and SMIT (METHODS 2.1).

Skips are each stage's output *before* its merge, LayerNormed (SMIT's choice), not the
patch embedding and the merged maps (MONAI's SwinUNETR). The raw image is a skip of its
own at full resolution. As in both, the deepest skip joins as it is; the others, the
bottleneck and the image pass a residual block first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .features import Features
from .init import initialise
from .norm import InstanceNorm

# Width below which the network is a scaled-down one: there, half of it is used at full
# resolution, where one thread would otherwise spend most of a step.
PAPER_WIDTH = 48


class CnnDecoder(nn.Module):
    """From an encoder's maps and the image to a logit per class and voxel.

    widths: channels of `Features.maps`, finest first, the bottleneck last; any number
    of stages. patch: voxels per side of a stem token. full_width: channels at full
    resolution, by default widths[0] (the published choice), or half of it below 48.
    """

    def __init__(
        self,
        widths: Sequence[int],
        channels: int,
        classes: int,
        patch: int,
        rng: torch.Generator,
        *,
        full_width: int | None = None,
    ) -> None:
        super().__init__()
        *stages, deepest = widths
        if full_width is None:
            narrow = widths[0] < PAPER_WIDTH
            full_width = max(1, widths[0] // 2) if narrow else widths[0]
        self.image = _Residual(channels, full_width)
        self.skips = nn.ModuleList(_Residual(width, width) for width in stages[:-1])
        self.bottleneck = _Residual(deepest, deepest)
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(_Up(low, high, 2) for low, high in rising)
        self.last = _Up(widths[0], full_width, patch)
        self.classify = _Pointwise(full_width, classes, 1)
        initialise(self, rng)

    def forward(self, x: Tensor, features: Features) -> Tensor:
        """x: (B, channels, D, H, W). Returns logits (B, classes, D, H, W)."""
        x, *maps = (_memory_order(x) for x in (x, *features.maps))
        *stages, deepest = maps
        skips = [
            block(skip) for block, skip in zip(self.skips, stages[:-1], strict=True)
        ]
        skips.append(stages[-1])
        y = self.bottleneck(deepest)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            y = up(y, skip)
        logits: Tensor = self.classify(self.last(y, self.image(x)))
        return logits


class _Pointwise(nn.Conv3d):
    """A 1x1x1 convolution; on the CPU a matrix product, where torch's is slow."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, D, H, W). Returns (B, outputs, D, H, W)."""
        if x.device.type != "cpu":
            return super().forward(x)
        y = functional.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias)
        return y.movedim(-1, 1)


class _Residual(nn.Module):
    """Two 3x3x3 convolutions with instance norm and a shortcut, LeakyReLU(0.01)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = InstanceNorm(outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = InstanceNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                _Pointwise(inputs, outputs, 1, bias=False), InstanceNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, D, H, W). Returns (B, outputs, D, H, W)."""
        y = functional.leaky_relu(self.norm1(self.conv1(x)), 0.01)
        y = self.norm2(self.conv2(y)) + self.shortcut(x)
        return functional.leaky_relu(y, 0.01)


class _Up(nn.Module):
    """A transposed convolution by `factor`, the skip joined, a residual block."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(inputs, outputs, factor, stride=factor, bias=False)
        self.block = _Residual(2 * outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (B, inputs, d, h, w); skip: (B, outputs, D, H, W), D <= factor * d, ..."""
        d, h, w = skip.shape[2:]
        y = self.up(x)[:, :, :d, :h, :w]  # encoders pad odd sides
        result: Tensor = self.block(torch.cat([y, skip], dim=1))
        return result


def _memory_order(x: Tensor) -> Tensor:
    """Put channels last in memory on the CPU, where that is faster, else first."""
    if x.device.type == "cpu":
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x.contiguous()
