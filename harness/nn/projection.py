"""Projection and prediction heads: small perceptrons with batch norm."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from .batchnorm import BatchNorm
from .init import initialise


class ProjectionHead(nn.Module):
    """`layers` linear layers, each but the last followed by batch norm and ReLU.

    inputs -> hidden -> ... -> outputs, the heads of SimCLR, MoCo v3 and BYOL (METHODS
    1.3, 1.5, 1.6). last_norm: a batch norm without affine after the last layer (MoCo v3).
    affine: whether the other norms scale and shift (not in VoCo, METHODS 1.24).
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        rng: torch.Generator,
        *,
        layers: int = 2,
        last_norm: bool = False,
        affine: bool = True,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        widths = [inputs, *[hidden] * (layers - 1), outputs]
        for index, (low, high) in enumerate(pairwise(widths), start=1):
            last = index == layers
            # What a batch norm follows needs no bias: it would be subtracted again.
            parts[f"linear{index}"] = nn.Linear(low, high, bias=last and not last_norm)
            if not last:
                parts[f"norm{index}"] = BatchNorm(high, affine=affine)
                parts[f"relu{index}"] = nn.ReLU()
            elif last_norm:
                parts[f"norm{index}"] = BatchNorm(high, affine=False)
        self.layers = nn.Sequential(parts)
        initialise(self, rng)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs). Returns codes (B, outputs), not normalised in length."""
        codes: Tensor = self.layers(x)
        return codes
