"""What a segmentation network's encoder side makes of an image, averaged per level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .decoder import ResidualBlock, full_resolution_width, memory_order
from .features import Encoder, Features
from .init import initialise


class LevelAverages(nn.Module):
    """Global averages of the levels of SwinUNETR's encoder side, joined (METHODS 1.24).

    A level is what a residual block makes of the image, of each skip but the deepest, and
    of the bottleneck; the skips are those of this project's decoder (METHODS 2.1). With
    four stages from 48 channels on: 48 + 48 + 96 + 192 + 768 = 1152 numbers.
    """

    def __init__(self, encoder: Encoder, channels: int, rng: torch.Generator) -> None:
        super().__init__()
        *skips, _, deepest = encoder.widths
        outputs = (full_resolution_width(encoder.widths[0]), *skips, deepest)
        inputs = (channels, *outputs[1:])
        self.width = sum(outputs)
        self.blocks = nn.ModuleList(
            ResidualBlock(encoder.dims, low, high)
            for low, high in zip(inputs, outputs, strict=True)
        )
        initialise(self, rng)

    def forward(self, x: Tensor, features: Features) -> Tensor:
        """x: (B, channels, *sides), `features` are of it. Returns (B, width)."""
        *skips, _, deepest = features.maps
        levels = zip(self.blocks, (x, *skips, deepest), strict=True)
        averages = [
            block(memory_order(level)).flatten(2).mean(dim=2) for block, level in levels
        ]
        return torch.cat(averages, dim=1)


class MapAverages(nn.Module):
    """Global averages of all of an encoder's maps, joined."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.width = sum(encoder.widths)

    def forward(self, x: Tensor, features: Features) -> Tensor:  # noqa: ARG002 - as above
        """Return (B, width)."""
        averages = [each.flatten(2).mean(dim=2) for each in features.maps]
        return torch.cat(averages, dim=1)
