"""Small networks on top of an encoder's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .init import initialise


class PrototypeHead(nn.Module):
    """H(K) of DINO, iBOT and SMIT: how much a feature is like each prototype.

    METHODS 0. MLP inputs-hidden-hidden-bottleneck with GELU and no batch norm, L2
    normalisation, then a linear layer whose weight rows have length 1 (weight
    normalisation with gain fixed at 1), so logits are cosines in [-1, 1].
    """

    directions: nn.Parameter

    def __init__(
        self,
        inputs: int,
        prototypes: int,
        hidden: int,
        bottleneck: int,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.directions = nn.Parameter(torch.empty(prototypes, bottleneck))
        initialise(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., inputs). Returns logits (..., prototypes)."""
        z = functional.normalize(self.mlp(x), dim=-1)
        return functional.linear(z, functional.normalize(self.directions, dim=-1))


class LinearHead(nn.Module):
    """One linear layer from pooled features to class logits."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        initialise(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs). Returns (B, outputs)."""
        logits: Tensor = self.linear(x)
        return logits


class VoxelHead(nn.Module):
    """A 1x1x1 convolution and a pixel shuffle: a token paints its cube of voxels."""

    def __init__(
        self, inputs: int, channels: int, stride: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        self.paint = nn.Linear(inputs, channels * stride**3)
        initialise(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, d, h, w). Returns (B, channels, d s, h s, w s), s = stride."""
        b, _, d, h, w = x.shape
        s = self.stride
        voxels = self.paint(x.movedim(1, -1)).view(b, d, h, w, self.channels, s, s, s)
        voxels = voxels.permute(0, 4, 1, 5, 2, 6, 3, 7)  # (B, C, d, s, h, s, w, s)
        painted: Tensor = voxels.reshape(b, self.channels, d * s, h * s, w * s)
        return painted
