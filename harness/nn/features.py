"""What an encoder hands on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Feature maps of one pass, channel-first, each token LayerNormed (no affine).

    maps: n + 1 maps (B, C_i, *grid_i) of an encoder with n stages: what each stage puts
    out before its merge (1/2, 1/4, ... of the input at patch 2), then the last merged
    map, the bottleneck. merged: n maps (B, 2 C_i, *grid_i / 2), the map after the merge
    that follows each stage. pooled: (B, C_n), the mean of the last merged map over its
    tokens.
    """

    maps: tuple[Tensor, ...]
    merged: tuple[Tensor, ...]
    pooled: Tensor
