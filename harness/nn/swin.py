"""Swin transformer for images and volumes: the project's own encoder.

Stages of blocks with attention inside windows, plain and shifted in turn; a merge that
halves the grid and doubles the width follows every stage (METHODS 0, Swin-MSK). At the
settings that MONAI's SwinTransformer also has, both give the same numbers for the same
weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import window_attention
from .features import CONVOLUTION, Encoder, Features, Fill, network_input
from .init import initialise
from .masking import spread
from .recompute import recomputed
from .settings import SwinSettings
from .transformer import SemanticAttention, drop_path
from .windows import (
    Grid,
    cut,
    fit_window,
    offset_index,
    pad_grid,
    put_back,
    shift_masks,
)

# What MONAI before 1.5 joined, in its order: corners 3 and 6 never, 1 and 2 twice. A
# corner counts in binary, the last axis fastest.
LEGACY_CORNERS = (0, 4, 2, 1, 5, 2, 1, 7)


class Swin(Encoder):
    """The encoder; weights come from `rng` alone.

    A mask unit is the footprint of a token after the last merge but one (16 voxels at
    paper scale), or after the stage that semantic attention follows.
    """

    def __init__(
        self, settings: SwinSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        stages = len(settings.depths)
        self.settings, self.dims = settings, settings.dims
        self.unit, self.stride = settings.unit, settings.stride
        self.widths = tuple(settings.width * 2**i for i in range(stages + 1))
        self.strides = tuple(settings.patch << i for i in range(stages + 1))
        self.merged_widths = self.widths[1:]
        self.unit_stage = settings.unit_stage
        self.unit_width = self.widths[self.unit_stage]
        self.pooled_width = self.widths[-1]
        self.cls_width = self.unit_width if settings.has_class_token else 0
        self.stem = CONVOLUTION[self.dims](
            channels, settings.width, settings.patch, stride=settings.patch
        )
        self.stem_norm = (
            nn.LayerNorm(settings.width) if settings.patch_norm else nn.Identity()
        )
        self.mask_token = nn.Parameter(torch.empty(settings.width))
        self.stages = nn.ModuleList(_Stage(settings, i) for i in range(stages))
        own = settings.semantic_attention
        self.semantic = (
            SemanticAttention(self.unit_width, own.blocks, own.heads) if own else None
        )
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
        fill: Fill = "token",
    ) -> Features:
        """Encode images of any size; see `Encoder.forward`."""
        rng = rng or self.drops
        tokens = self.embed(x)  # (B, *grid, C)
        if mask_units is not None:
            tokens = self._hide(tokens, mask_units, fill)
        maps, merged, cls, attention = [], [], None, None
        for number, stage in enumerate(self.stages, start=1):
            before, tokens = stage(tokens, rng)
            if self.semantic is not None and number == self.unit_stage:
                tokens, cls, attention = self.semantic(tokens, rng)
                cls = functional.layer_norm(cls, cls.shape[-1:])
            maps.append(_channels_first(before))
            merged.append(_channels_first(tokens))
        return Features(
            maps=(*maps, merged[-1]),
            merged=tuple(merged),
            units=merged[self.unit_stage - 1],
            pooled=merged[-1].flatten(2).mean(dim=2),
            cls=cls,
            attention=attention,
        )

    def block_of(self, name: str) -> int:
        """Return how deep a parameter lies; a merge counts with the block before it."""
        depths, parts = self.settings.depths, name.split(".")
        if parts[0] == "semantic":
            return int(sum(depths[: self.unit_stage]))
        if parts[0] != "stages":
            return 0
        stage = int(parts[1])
        within = int(parts[3]) + 1 if parts[2] == "blocks" else depths[stage]
        return int(sum(depths[:stage])) + within

    def embed(self, x: Tensor) -> Tensor:
        """Turn voxels (B, C, *sides) into stem tokens (B, *grid, width)."""
        x = network_input(x, self.settings.patch, self.settings)
        tokens: Tensor = self.stem_norm(self.stem(x).movedim(1, -1))
        return tokens.contiguous()

    def _hide(self, tokens: Tensor, mask_units: Tensor, fill: Fill) -> Tensor:
        """Put the mask token or zeros where `mask_units` (B, *units) says hidden."""
        grid = tokens.shape[1:-1]
        hidden = mask_units
        if hidden.shape[1:] != grid:  # else there is a decision for every token
            hidden = spread(mask_units, self.unit // self.settings.patch)
        if any(have < want for have, want in zip(hidden.shape[1:], grid, strict=True)):
            msg = (
                f"a mask of {tuple(mask_units.shape[1:])} units of {self.unit} voxels "
                f"does not cover {tuple(grid)} stem tokens"
            )
            raise ValueError(msg)
        hidden = hidden[:, *(slice(side) for side in grid)].unsqueeze(-1)
        token = self.mask_token.to(tokens.dtype)
        return torch.where(hidden, token if fill == "token" else 0 * token, tokens)


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
        self.merge = _Merge(width, settings)

    def forward(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """x: (B, *grid, C). Returns what the blocks put out, and that merged."""
        for block in self.blocks:
            x = recomputed(block, x, rng)
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
        self.attention = WindowAttention(settings, width, heads)
        self.norm2 = nn.LayerNorm(width)
        hidden = int(width * settings.mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """x: (B, *grid, C). Returns the same shape."""
        x = x + self._drop(self.attention(self.norm1(x), shifted=self.shifted), rng)
        return x + self._drop(self.mlp(self.norm2(x)), rng)

    def _drop(self, x: Tensor, rng: torch.Generator) -> Tensor:
        return drop_path(x, self.drop_path, rng) if self.training else x


class WindowAttention(nn.Module):
    """Multi-head attention inside windows, with a bias learnt per offset and head."""

    def __init__(self, settings: SwinSettings, width: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = settings.window, heads
        self.shrunk_bias = settings.shrunk_bias
        self.qkv = nn.Linear(width, 3 * width, bias=settings.qkv_bias)
        self.out = nn.Linear(width, width)
        self.offset_bias = nn.Parameter(
            torch.empty((2 * settings.window - 1) ** settings.dims, heads)
        )

    def forward(self, x: Tensor, *, shifted: bool) -> Tensor:
        """x: (B, *grid, C). Returns the same shape."""
        grid: Grid = tuple(x.shape[1:-1])
        window, shift = fit_window(grid, self.window)
        kind, masks = None, None
        if shifted and any(shift):
            kind, masks = shift_masks(grid, window, shift, x.device)
        else:
            shift = (0,) * len(grid)
        windows = cut(x, window, shift)  # (N, n, C)
        count, n, c = windows.shape
        qkv = self.qkv(windows).view(count, n, 3, self.heads, c // self.heads)
        windows = window_attention(qkv, self.bias(window, n), kind, masks)
        return put_back(self.out(windows), window, shift, grid)

    def bias(self, window: Grid, n: int) -> Tensor:
        """Gather the bias of each pair of tokens, (heads, n, n), once per pass."""
        table = self.offset_bias.t()  # (heads, offsets)
        index = offset_index(window, self.window, self.shrunk_bias, table.device)
        rows = table.index_select(1, index)
        return rows.view(self.heads, n, n)


class _Merge(nn.Module):
    """Join the channels of neighbours, two along each axis, LayerNorm, then to 2C."""

    def __init__(self, width: int, settings: SwinSettings) -> None:
        super().__init__()
        dims = settings.dims
        self.legacy = settings.merging == "legacy"
        self.norm = nn.LayerNorm(2**dims * width)
        self.reduce = nn.Linear(2**dims * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, *grid, C), odd sides padded. Returns (B, *(grid / 2), 2C)."""
        x = pad_grid(x, [side % 2 for side in x.shape[1:-1]])
        b, *grid, c = x.shape
        dims, half = len(grid), [side // 2 for side in grid]
        x = x.reshape(b, *(n for side in half for n in (side, 2)), c)
        # (B, *half, 2, ..., 2, C): the corner's last axis runs fastest.
        order = [*range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]
        x = x.permute(0, *order, 2 * dims + 1).reshape(b, *half, 2**dims, c)
        if self.legacy:
            x = x[..., list(LEGACY_CORNERS), :]
        merged: Tensor = self.reduce(self.norm(x.reshape(b, *half, 2**dims * c)))
        return merged


def _channels_first(tokens: Tensor) -> Tensor:
    """LayerNorm without affine, (B, *grid, C) to (B, C, *grid)."""
    return functional.layer_norm(tokens, tokens.shape[-1:]).movedim(-1, 1)
