"""Vision transformer for images and volumes.

Patches become tokens, a class token joins them, a learnt position is added to each
(resized linearly where the grid differs from the one it was made for), and blocks of
global attention follow (METHODS 0, ViT-S1 and ViT-L-3D).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import torch
from torch import Tensor, nn

from .features import CONVOLUTION, Encoder, Features, Fill, Layer, network_input
from .init import initialise
from .positions import resized, start_positions
from .recompute import recomputed
from .settings import ViTSettings
from .transformer import Block


class ViT(Encoder):
    """The encoder; weights come from `rng` alone. One patch is one mask unit.

    `Features.maps` and `merged` are the tokens after a quarter, half, three quarters and
    all of the blocks (layers 3, 6, 9, 12 of 12; METHODS 2.2), each through the final
    norm. A Swin's stage 3 stands for block 9, its stage 4 for block 12 (METHODS 1.19).
    """

    def __init__(
        self, settings: ViTSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        width, depth = settings.width, settings.depth
        self.settings, self.dims = settings, settings.dims
        self.unit = self.stride = settings.patch
        self.widths = self.merged_widths = (width,) * 4
        self.strides = (settings.patch,) * 4
        self.ends_with_class = True
        self.unit_stage, self.unit_width = 3, width
        self.pooled_width = self.cls_width = width
        self.taps = tuple(depth * quarter // 4 for quarter in (1, 2, 3, 4))
        self.stem = CONVOLUTION[self.dims](
            channels, width, settings.patch, stride=settings.patch
        )
        self.mask_token = nn.Parameter(torch.empty(width))
        self.class_token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(
            torch.empty(1, width, *(settings.positions,) * self.dims)
        )
        self.class_position = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                settings.heads,
                mlp_ratio=settings.mlp_ratio,
                qkv_bias=settings.qkv_bias,
                layer_scale=settings.layer_scale,
                drop_path=_drop_rate(settings, index),
            )
            for index in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        for part in self.modules():
            if isinstance(part, nn.LayerNorm):
                part.eps = settings.norm_eps
        initialise(self, rng)
        start_positions(self.positions, settings.positions_start)
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
        tokens, grid = self.start(x, mask_units, fill)
        taps, row = self._through(tokens, self.taps, rng or self.drops)
        maps = tuple(as_map(each[:, 1:], grid) for each in taps)
        cls = taps[-1][:, 0]
        return Features(
            maps, maps, maps[-1], pooled=cls, cls=cls, attention=row.view(-1, *grid)
        )

    def _through(
        self, tokens: Tensor, taps: Container[int], rng: torch.Generator
    ) -> tuple[list[Tensor], Tensor]:
        """Return the tokens after the blocks `taps`, normed, and the last class row."""
        tapped, row = [], None
        for index, block in enumerate(self.blocks, start=1):
            last = index == len(self.blocks)
            tokens, row = recomputed(block, tokens, rng, row=last)
            if index in taps:
                tapped.append(self.norm(tokens))
        assert row is not None
        return tapped, row

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Channels of each layer; every block is one."""
        return (self.widths[-1],) * len(self.blocks)

    @property
    def layer_strides(self) -> tuple[int, ...]:
        """Voxels per side of a token of each layer."""
        return (self.stride,) * len(self.blocks)

    def last_layers(self, x: Tensor, count: int) -> tuple[Layer, ...]:
        """Return the last blocks; see `Encoder.last_layers`."""
        tokens, grid = self.start(x)
        depth = len(self.blocks)
        wanted = range(depth - count + 1, depth + 1)
        tapped, _ = self._through(tokens, wanted, self.drops)
        return tuple(Layer(as_map(t[:, 1:], grid), t[:, 0]) for t in tapped)

    def start(
        self, x: Tensor, mask_units: Tensor | None = None, fill: Fill = "token"
    ) -> tuple[Tensor, torch.Size]:
        """Return what the first block sees, (B, 1 + N, C), and the grid of the patches."""
        tokens = self.embed(x)  # (B, *grid, C)
        if mask_units is not None:
            hidden = mask_units.unsqueeze(-1)
            token = self.mask_token.to(tokens.dtype)
            blank = token if fill == "token" else torch.zeros_like(token)
            tokens = torch.where(hidden, blank, tokens)
        grid = tokens.shape[1:-1]
        return self.join_class(tokens + resized(self.positions, grid)), grid

    def block_of(self, name: str) -> int:
        """Return how deep a parameter lies; the final norm lies above all blocks."""
        if name.startswith("blocks."):
            return int(name.split(".")[1]) + 1
        return len(self.blocks) + 1 if name.startswith("norm.") else 0

    def encode_kept(
        self, x: Tensor, kept: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """Encode some patches only, as MAE does: the others are not there at all.

        kept: int64 (B, V), which patches, row-major. Returns (B, 1 + V, C), the class
        token first, through the final norm.
        """
        tokens = self.embed(x)
        tokens = (tokens + resized(self.positions, tokens.shape[1:-1])).flatten(1, -2)
        tokens = tokens.gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        tokens = self.join_class(tokens)
        for block in self.blocks:
            tokens, _ = recomputed(block, tokens, rng or self.drops)
        encoded: Tensor = self.norm(tokens)
        if self.watch is not None and self.training:
            self.watch(encoded[:, 0].detach())
        return encoded

    def embed(self, x: Tensor) -> Tensor:
        """Turn voxels (B, C, *sides) into patch tokens (B, *grid, width)."""
        x = network_input(x, self.settings.patch, self.settings)
        tokens: Tensor = self.stem(x).movedim(1, -1)
        return tokens

    def join_class(self, tokens: Tensor) -> Tensor:
        """Put the class token, with its position, before (B, ..., C)."""
        b, c = len(tokens), tokens.shape[-1]
        cls = (self.class_token + self.class_position).expand(b, 1, c)
        return torch.cat([cls, tokens.reshape(b, -1, c)], dim=1)


def _drop_rate(settings: ViTSettings, index: int) -> float:
    if settings.drop_path_rule == "uniform":
        return settings.drop_path
    return settings.drop_path * index / max(1, settings.depth - 1)


def as_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Return tokens (B, N, C), row-major, as a map (B, C, *grid)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
