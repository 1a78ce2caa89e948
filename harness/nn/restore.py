"""From the bottleneck back to the image by repeated doubling (Tang; METHODS 1.10)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .features import CONVOLUTION
from .init import initialise
from .norm import InstanceNorm

_MODES = {2: "bilinear", 3: "trilinear"}


class RestorationHead(nn.Module):
    """Convolution, instance norm, LeakyReLU and doubling, until voxels are reached.

    Channels halve with each doubling and stay at least 8; a pointwise convolution ends
    it. stride: voxels per side of a bottleneck token, a power of 2.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        stride: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
    ) -> None:
        super().__init__()
        if stride & (stride - 1):
            msg = (
                f"restoration by doubling needs a stride of 2, 4, 8, ..., not {stride}"
            )
            raise ValueError(msg)
        self.dims, conv = dims, CONVOLUTION[dims]
        self.steps = nn.ModuleList()
        for _ in range(stride.bit_length() - 1):
            outputs = max(8, inputs // 2)
            self.steps.append(
                nn.Sequential(
                    conv(inputs, outputs, 3, padding=1, bias=False),
                    InstanceNorm(outputs),
                    nn.LeakyReLU(0.01),
                )
            )
            inputs = outputs
        self.last = conv(inputs, channels, 1)
        initialise(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, channels, *(grid * stride))."""
        for step in self.steps:
            x = functional.interpolate(
                step(x), scale_factor=2, mode=_MODES[self.dims], align_corners=False
            )
        image: Tensor = self.last(x)
        return image
