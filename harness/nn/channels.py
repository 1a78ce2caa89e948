"""Inputs with another number of channels than an encoder was made for (METHODS 2.9).

On an encoder for one channel each passes as an image of its own; what comes out is joined
along the features, in the order of the task's channels, and mapped back to the width that
one channel has, with a GELU. A grey image is repeated for an encoder for colours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .init import initialise


def for_encoder(x: Tensor, takes: int) -> Tensor:
    """Return images (B, C, *sides) as an encoder for `takes` channels gets them.

    Every channel alone where it takes one, (B C, 1, *sides); C = 1 repeated where it
    takes several. Raises ValueError where both are several and differ.
    """
    if x.shape[1] == takes:
        return x
    if takes == 1:
        return apart(x)
    if x.shape[1] == 1:
        return x.expand(-1, takes, *x.shape[2:])
    msg = f"an encoder for {takes} channels cannot take {x.shape[1]}"
    raise ValueError(msg)


def apart(x: Tensor) -> Tensor:
    """Return every channel as an image of its own: (B, C, *sides) to (B C, 1, *sides)."""
    return x.flatten(0, 1).unsqueeze(1)


def together(x: Tensor, channels: int) -> Tensor:
    """Return the channels' features side by side: (B C, F, ...) to (B, C F, ...)."""
    return x.reshape(-1, channels * x.shape[1], *x.shape[2:])


def mean_of(x: Tensor, channels: int) -> Tensor:
    """Return the mean over channels: (B C, ...) to (B, ...)."""
    return x if channels == 1 else x.view(-1, channels, *x.shape[1:]).mean(dim=1)


class Merge(nn.Module):
    """Linear(C F -> F) and GELU on the features of C channels; of one channel nothing."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.linear = None if channels == 1 else nn.Linear(channels * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B C, F, *grid), channels of a case in a row. Returns (B, F, *grid)."""
        if self.linear is None:
            return x
        joined = together(x, self.channels).movedim(1, -1)
        return functional.gelu(self.linear(joined)).movedim(-1, 1)


def merges(
    widths: tuple[int, ...], channels: int, rng: torch.Generator
) -> nn.ModuleList:
    """Return a merge for each map of an encoder; weights come from `rng` alone."""
    made = nn.ModuleList(Merge(channels, width) for width in widths)
    initialise(made, rng)
    return made
