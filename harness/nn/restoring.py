"""A convolutional decoder that restores voxels from the bottleneck alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .features import CONVOLUTION, Encoder
from .init import initialise
from .norm import InstanceNorm


class RestoringDecoder(nn.Module):
    """{convolution of side 3, instance norm, LeakyReLU, linear x2} until full size, 1x1.

    The decoder that SwinUNETR's pretraining uses by default (METHODS 1.10), without skip
    connections, so that nothing leaks past the encoder. The width halves with each
    doubling of the grid. A stride that is no power of two is reached by a last resize.
    """

    def __init__(self, encoder: Encoder, channels: int, rng: torch.Generator) -> None:
        super().__init__()
        conv = CONVOLUTION[encoder.dims]
        self.stride = encoder.stride
        self.mode = "bilinear" if encoder.dims == 2 else "trilinear"
        width = encoder.widths[-1]
        parts: list[nn.Module] = []
        for _ in range(self.stride.bit_length() - 1):
            narrow = max(8, width // 2)
            parts += [
                conv(width, narrow, 3, padding=1, bias=False),
                InstanceNorm(narrow),
                nn.LeakyReLU(0.01),
                nn.Upsample(scale_factor=2, mode=self.mode),
            ]
            width = narrow
        self.raises = nn.Sequential(*parts)
        self.last = conv(width, channels, 1)
        initialise(self, rng)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """bottleneck: (B, C, *grid). Returns (B, channels, *(grid * stride))."""
        size = [side * self.stride for side in bottleneck.shape[2:]]
        x = self.raises(bottleneck)
        if list(x.shape[2:]) != size:
            x = nn.functional.interpolate(x, size=size, mode=self.mode)
        voxels: Tensor = self.last(x)
        return voxels
