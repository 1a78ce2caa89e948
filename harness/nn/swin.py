"""3-D Swin transformer: the project's own encoder for volumes.

Stages of blocks with attention inside windows, plain and shifted in turn; a merge that
halves the grid and doubles the width follows every stage (METHODS 0, Swin-MSK). At the
settings that MONAI's SwinTransformer also has, both give the same numbers for the same
weights.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ..schema.errors import UserError
from ..schema.task import Closed, Tier
from .attention import window_attention
from .draws import rows
from .features import Features
from .init import initialise
from .masking import spread
from .windows import (
    Grid,
    ShrunkBias,
    cut,
    fit_window,
    offset_index,
    put_back,
    shift_masks,
)


class SwinSettings(Closed):
    """Settings of the encoder: Swin-MSK (METHODS 0), SwinUNETR's in brackets."""

    kind: Literal["swin"] = "swin"
    patch: int = Field(2, ge=1, description="voxels per side of a stem token")
    width: int = Field(
        48, ge=1, description="channels of the stem; doubled by each merge"
    )
    depths: tuple[int, ...] = Field(
        (2, 2, 8, 2), min_length=1, description="blocks per stage [2, 2, 2, 2]"
    )
    heads: tuple[int, ...] = Field(
        (4, 4, 8, 16),
        min_length=1,
        description="attention heads per stage [3, 6, 12, 24]",
    )
    window: int = Field(4, ge=1, description="tokens per side of a window [7]")
    mlp_ratio: float = Field(4.0, gt=0)
    qkv_bias: bool = True
    patch_norm: bool = Field(default=True, description="LayerNorm after the stem [no]")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="of the last block; linear from 0 at the first"
    )
    shrunk_bias: ShrunkBias = Field(
        "first_tokens",
        description="relative bias of windows that shrank to their grid: as published, "
        "or by the tokens' true offsets (see windows.offset_index)",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "width": 12, "depths": (2, 2, 2), "heads": (1, 2, 4), "window": 2,
            "drop_path": 0.0,
        },
        "small": {
            "width": 24, "depths": (2, 2, 2), "heads": (2, 4, 8), "window": 4,
            "drop_path": 0.0,
        },
        "demo": {
            "width": 24, "depths": (2, 2, 2, 2), "heads": (2, 4, 8, 8), "window": 4,
            "drop_path": 0.0,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> SwinSettings:
        if len(self.depths) != len(self.heads):
            msg = (
                f"depths {self.depths} and heads {self.heads} need one number per stage"
            )
            raise ValueError(msg)
        for stage, heads in enumerate(self.heads):
            width = self.width * 2**stage
            if heads < 1 or width % heads or self.depths[stage] < 1:
                msg = (
                    f"stage {stage + 1} has width {width}, {heads} heads and "
                    f"{self.depths[stage]} blocks; heads must divide the width and "
                    "a stage needs a block"
                )
                raise ValueError(msg)
        return self


class Swin(nn.Module):
    """The encoder; weights come from `rng` alone.

    unit: voxels per side of a mask unit, the footprint of a token after the last merge
    but one (16 at paper scale). stride: voxels per side of a bottleneck token (32).
    widths: channels of each of `Features.maps`.
    """

    def __init__(
        self,
        settings: SwinSettings,
        channels: int,
        rng: torch.Generator,
        dims: int = 3,
    ) -> None:
        super().__init__()
        if dims != 3:
            msg = f"the swin encoder is for volumes (3 dimensions), not {dims}"
            raise UserError(msg)
        stages = len(settings.depths)
        self.settings = settings
        self.unit = settings.patch * 2 ** (stages - 1)
        self.stride = settings.patch * 2**stages
        self.widths = tuple(settings.width * 2**i for i in range(stages + 1))
        self.stem = nn.Conv3d(
            channels, settings.width, settings.patch, stride=settings.patch
        )
        self.stem_norm = (
            nn.LayerNorm(settings.width) if settings.patch_norm else nn.Identity()
        )
        self.mask_token = nn.Parameter(torch.empty(settings.width))
        self.stages = nn.ModuleList(_Stage(settings, i) for i in range(stages))
        initialise(self, rng)
        # Draws for drop path when the caller passes no generator.
        self.drops = torch.Generator().manual_seed(
            int(torch.randint(2**62, (), generator=rng, device=rng.device))
        )

    def forward(
        self,
        x: Tensor,
        mask_units: Tensor | None = None,
        rng: torch.Generator | None = None,
    ) -> Features:
        """Encode volumes of any size; a side that does not divide is padded with zeros.

        x: (B, C, D, H, W). mask_units: bool (B, *units), True = hidden, where a unit is
        a cube of `unit` voxels. rng: draws of drop path in training; without it they
        come from the generator made at construction.
        """
        tokens = self.embed(x)  # (B, d, h, w, C)
        if mask_units is not None:
            tokens = self._hide(tokens, mask_units)
        maps, merged = [], []
        for stage in self.stages:
            before, tokens = stage(tokens, rng or self.drops)
            maps.append(_channels_first(before))
            merged.append(_channels_first(tokens))
        pooled = merged[-1].mean(dim=(2, 3, 4))
        return Features((*maps, merged[-1]), tuple(merged), pooled)

    def embed(self, x: Tensor) -> Tensor:
        """Turn voxels (B, C, D, H, W) into stem tokens (B, d, h, w, width)."""
        patch = self.settings.patch
        extra = [-side % patch for side in x.shape[2:]]
        if any(extra):
            x = functional.pad(x, (0, extra[2], 0, extra[1], 0, extra[0]))
        tokens: Tensor = self.stem_norm(self.stem(x).movedim(1, -1))
        return tokens.contiguous()

    def _hide(self, tokens: Tensor, mask_units: Tensor) -> Tensor:
        """Put the mask token where `mask_units` (B, *units) says hidden."""
        grid = tokens.shape[1:4]
        factor = self.unit // self.settings.patch
        hidden = spread(mask_units, factor)
        if any(have < want for have, want in zip(hidden.shape[1:], grid, strict=True)):
            msg = (
                f"a mask of {tuple(mask_units.shape[1:])} units of {self.unit} voxels "
                f"does not cover {tuple(grid)} stem tokens"
            )
            raise ValueError(msg)
        hidden = hidden[:, : grid[0], : grid[1], : grid[2], None]
        return torch.where(hidden, self.mask_token.to(tokens.dtype), tokens)


class _Stage(nn.Module):
    """Blocks at one resolution, then the merge."""

    def __init__(self, settings: SwinSettings, index: int) -> None:
        super().__init__()
        width = settings.width * 2**index
        first, total = sum(settings.depths[:index]), sum(settings.depths)
        self.blocks = nn.ModuleList(
            _Block(
                settings,
                width,
                heads=settings.heads[index],
                shifted=bool(block % 2),
                drop_path=settings.drop_path * (first + block) / max(1, total - 1),
            )
            for block in range(settings.depths[index])
        )
        self.merge = _Merge(width)

    def forward(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """x: (B, D, H, W, C). Returns what the blocks put out, and that merged."""
        for block in self.blocks:
            x = block(x, rng)
        return x, self.merge(x)


class _Block(nn.Module):
    """x + attention(LayerNorm(x)), then x + mlp(LayerNorm(x))."""

    def __init__(
        self,
        settings: SwinSettings,
        width: int,
        *,
        heads: int,
        shifted: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.shifted, self.drop_path = shifted, drop_path
        self.norm1 = nn.LayerNorm(width)
        self.attention = _WindowAttention(settings, width, heads)
        self.norm2 = nn.LayerNorm(width)
        hidden = int(width * settings.mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """x: (B, D, H, W, C). Returns the same shape."""
        x = x + self._drop(self.attention(self.norm1(x), shifted=self.shifted), rng)
        return x + self._drop(self.mlp(self.norm2(x)), rng)

    def _drop(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Drop the branch of whole samples (stochastic depth), scale up the others."""
        if not self.training or self.drop_path == 0:
            return x
        keep = 1 - self.drop_path
        draw = rows(len(x), lambda n: torch.rand(n, generator=rng, device=rng.device))
        return x * ((draw < keep).to(x) / keep).view(-1, 1, 1, 1, 1)


class _WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a bias learnt per offset and head."""

    def __init__(self, settings: SwinSettings, width: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = settings.window, heads
        self.shrunk_bias = settings.shrunk_bias
        self.qkv = nn.Linear(width, 3 * width, bias=settings.qkv_bias)
        self.out = nn.Linear(width, width)
        self.offset_bias = nn.Parameter(
            torch.empty((2 * settings.window - 1) ** 3, heads)
        )

    def forward(self, x: Tensor, *, shifted: bool) -> Tensor:
        """x: (B, D, H, W, C). Returns the same shape."""
        grid: Grid = (x.shape[1], x.shape[2], x.shape[3])
        window, shift = fit_window(grid, self.window)
        kind, masks = None, None
        if shifted and any(shift):
            kind, masks = shift_masks(grid, window, shift, x.device)
        else:
            shift = (0, 0, 0)
        windows = cut(x, window, shift)  # (N, n, C)
        count, n, c = windows.shape
        qkv = self.qkv(windows).view(count, n, 3, self.heads, c // self.heads)
        windows = window_attention(qkv, self._bias(window, n), kind, masks)
        return put_back(self.out(windows), window, shift, grid)

    def _bias(self, window: Grid, n: int) -> Tensor:
        """Gather the bias of each pair of tokens, (heads, n, n), once per pass."""
        table = self.offset_bias.t()  # (heads, offsets)
        index = offset_index(window, self.window, self.shrunk_bias, table.device)
        rows = table.index_select(1, index)
        return rows.view(self.heads, n, n)


class _Merge(nn.Module):
    """Join the channels of 2x2x2 neighbours, LayerNorm, then 8C to 2C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8 * width)
        self.reduce = nn.Linear(8 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D, H, W, C), odd sides padded. Returns (B, D/2, H/2, W/2, 2C)."""
        b, *grid, c = x.shape
        if any(side % 2 for side in grid):
            odd = [side % 2 for side in grid]
            x = functional.pad(x, (0, 0, 0, odd[2], 0, odd[1], 0, odd[0]))
        d, h, w = (side // 2 for side in x.shape[1:4])
        x = x.reshape(b, d, 2, h, 2, w, 2, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
        merged: Tensor = self.reduce(self.norm(x.reshape(b, d, h, w, 8 * c)))
        return merged


def _channels_first(tokens: Tensor) -> Tensor:
    """LayerNorm without affine, (B, D, H, W, C) to (B, C, D, H, W)."""
    return functional.layer_norm(tokens, tokens.shape[-1:]).movedim(-1, 1)
