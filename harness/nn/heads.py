"""Small networks on top of an encoder's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .features import Encoder
from .init import initialise

PUBLISHED_HIDDEN = 2048  # of DINO's, iBOT's and SMIT's head (METHODS 0)


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
        # 0.02 keeps a signal's size at the published width alone. In a narrower head it
        # would all but vanish, and the first steps of Adam would turn the normalised
        # output about; so the scale follows the width, 0.02 at 2048 (chosen here).
        with torch.no_grad():
            for part in self.mlp:
                if isinstance(part, nn.Linear):
                    part.weight.mul_((PUBLISHED_HIDDEN / hidden) ** 0.5)

    def forward(self, x: Tensor, *, rests: bool = False) -> Tensor:
        """x: (..., inputs). Returns logits (..., prototypes).

        rests: the prototypes' gradient is 0, as in DINO's first epoch (METHODS 0).
        """
        z = functional.normalize(self.mlp(x), dim=-1)
        directions: Tensor = self.directions
        if rests:  # (0, not none: parallel training waits for every gradient)
            directions = directions.detach() + 0 * directions
        return functional.linear(z, functional.normalize(directions, dim=-1))


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
        self,
        inputs: int,
        channels: int,
        stride: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
    ) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        self.paint = nn.Linear(inputs, channels * stride**dims)
        initialise(self, rng)

    @classmethod
    def of(cls, encoder: Encoder, channels: int, rng: torch.Generator) -> VoxelHead:
        """Return the head that paints from an encoder's bottleneck."""
        return cls(encoder.widths[-1], channels, encoder.stride, rng, dims=encoder.dims)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, channels, *(grid * stride))."""
        b, _, *grid = x.shape
        dims, s = len(grid), self.stride
        voxels = self.paint(x.movedim(1, -1)).view(b, *grid, self.channels, *[s] * dims)
        pairs = [axis for i in range(dims) for axis in (1 + i, 2 + dims + i)]
        voxels = voxels.permute(0, 1 + dims, *pairs)  # (B, C, d, s, h, s, w, s)
        painted: Tensor = voxels.reshape(b, self.channels, *(n * s for n in grid))
        return painted
