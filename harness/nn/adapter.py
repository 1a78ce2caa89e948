"""ViT-Adapter in two and three dimensions: a feature pyramid around a frozen ViT.

A small convolutional network looks at the image (spatial prior); its tokens are injected
into the ViT before each group of blocks and gather from the ViT after it, both by
deformable attention (Chen et al. 2023; 3DINO for volumes; METHODS 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..schema.protocols.frozen_adapter import SHARE
from .batchnorm import BatchNorm
from .channels import Merge, for_encoder, mean_of
from .decoder import RAISING, narrowed
from .deformable import DeformableAttention, Grid, centres
from .features import CONVOLUTION
from .init import initialise
from .recompute import recomputed
from .transformer import LayerScale, drop_path
from .vit import ViT, as_map

STRIDES = (2, 4, 8, 16)  # of the pyramid, whatever the patch; METHODS 2.3
LINEAR = {2: "bilinear", 3: "trilinear"}
GAIN = 1e-6  # the injectors' first gain, so that training starts from the ViT as it is
FFN_RATIO = 0.25
DROP_PATH = 0.2
EXTRA = 2  # more extractors after the last group


class Adapter(nn.Module):
    """What is trained around a frozen ViT: spatial prior, interactions, output pyramid.

    channels: of the image. takes: those that the ViT is made for, the same by default;
    one that is made for a single channel sees each alone: injectors and extractors see
    their mean, what is injected goes to each, and the outputs of each group are merged
    (METHODS 2.9). as_released: see DeformableAttention.
    """

    def __init__(
        self,
        vit: ViT,
        channels: int,
        rng: torch.Generator,
        *,
        takes: int | None = None,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        width, dims = vit.settings.width, vit.dims
        self.dims, self.width = dims, width
        self.takes = channels if takes is None else takes
        self.separate = channels if self.takes == 1 else 1
        self.multiple = math.lcm(STRIDES[-1], vit.settings.patch)
        options: dict[str, Any] = {
            "dims": dims, "ratio": 1 / SHARE, "as_released": as_released,
        }  # fmt: skip
        self.prior = SpatialPrior(channels, width, dims)
        self.level_token = nn.Parameter(torch.empty(len(STRIDES) - 1, width))
        groups = len(vit.taps)
        self.injectors = nn.ModuleList(
            Injector(width, **options) for _ in range(groups)
        )
        self.extractors = nn.ModuleList(
            Extractor(width, **options) for _ in range(groups + EXTRA)
        )
        self.merges = nn.ModuleList(Merge(self.separate, width) for _ in range(groups))
        self.up = RAISING[dims](width, width, 2, stride=2)
        self.norms = nn.ModuleList(BatchNorm(width) for _ in STRIDES)
        self.drops = torch.Generator()
        self._reset(rng)

    def _reset(self, rng: torch.Generator) -> None:
        initialise(self, rng)
        for part in self.modules():
            if isinstance(part, DeformableAttention):
                part.reset(rng)
        if not self.level_token.is_meta:
            # Of deviation 1, as in ViT-Adapter's code: levels differ from the first step.
            nn.init.normal_(self.level_token, generator=rng)
            seed = torch.randint(2**62, (), generator=rng, device=rng.device)
            self.drops.manual_seed(int(seed))

    def forward(self, vit: ViT, x: Tensor) -> tuple[Tensor, ...]:
        """Return the pyramid, finest first: (B, F, *(sides / stride)) per stride.

        x: (B, channels, *sides) in [0, 1], padded to a multiple of `multiple`.
        """
        finest, *coarse = self.prior(x)
        grids = [tuple(each.shape[2:]) for each in coarse]
        spatial = torch.cat(
            [
                each.flatten(2).transpose(1, 2) + level
                for each, level in zip(coarse, self.level_token, strict=True)
            ],
            dim=1,
        )
        tokens, grid = vit.start(for_encoder(x, self.takes))
        own = centres(grid, x.device)
        others = torch.cat([centres(each, x.device) for each in grids])
        first, outputs = 0, []
        for number, last in enumerate(vit.taps):
            tokens = self._inject(number, tokens, own, spatial, grids)
            for block in vit.blocks[first:last]:
                tokens, _ = recomputed(block, tokens, vit.drops)
            first = last
            seen = mean_of(tokens[:, 1:], self.separate)
            asked = [self.extractors[number]]
            if last == vit.taps[-1]:
                asked += self.extractors[number + 1 :]
            for extract in asked:
                spatial = recomputed(
                    extract, spatial, self.drops,
                    others=others, grids=grids, vit=seen, grid=grid,
                )  # fmt: skip
            outputs.append(self.merges[number](as_map(tokens[:, 1:], grid)))
        return self._pyramid(finest, spatial, grids, outputs)

    def _inject(
        self,
        number: int,
        tokens: Tensor,
        own: Tensor,
        spatial: Tensor,
        grids: Sequence[Grid],
    ) -> Tensor:
        """Add what an injector finds to every channel's patches; class tokens stay."""
        seen = mean_of(tokens[:, 1:], self.separate)
        found = self.injectors[number](seen, own, spatial, grids)
        found = found.repeat_interleave(self.separate, dim=0)
        return torch.cat([tokens[:, :1], tokens[:, 1:] + found], dim=1)

    def _pyramid(
        self,
        finest: Tensor,
        spatial: Tensor,
        grids: Sequence[Grid],
        outputs: list[Tensor],
    ) -> tuple[Tensor, ...]:
        sizes = [torch.Size(each).numel() for each in grids]
        maps = [
            as_map(part, grid)
            for part, grid in zip(torch.split(spatial, sizes, 1), grids, strict=True)
        ]
        maps = [self.up(maps[0]) + finest, *maps]
        return tuple(
            norm(
                each
                + functional.interpolate(out, each.shape[2:], mode=LINEAR[self.dims])
            )
            for norm, each, out in zip(self.norms, maps, outputs, strict=True)
        )


class SpatialPrior(nn.Module):
    """Convolutions to 1/2, 1/4, 1/8 and 1/16 of the sides, each brought to one width."""

    def __init__(self, channels: int, width: int, dims: int) -> None:
        super().__init__()
        base = narrowed(width)
        conv = CONVOLUTION[dims]
        self.stem = nn.Sequential(
            _Step(dims, channels, base, 2),
            _Step(dims, base, base, 1),
            _Step(dims, base, base, 1),
        )
        widths = (base, 2 * base, 4 * base, 4 * base)
        self.steps = nn.ModuleList(
            _Step(dims, low, high, 2) for low, high in pairwise(widths)
        )
        self.widen = nn.ModuleList(conv(each, width, 1) for each in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (B, channels, *sides). Returns (B, width, *(sides / stride)) per stride."""
        maps = [self.stem(x)]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return [widen(y) for widen, y in zip(self.widen, maps, strict=True)]


class _Step(nn.Sequential):
    """A convolution of side 3, batch norm, ReLU."""

    def __init__(self, dims: int, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            CONVOLUTION[dims](inputs, outputs, 3, stride=stride, padding=1, bias=False),
            BatchNorm(outputs),
            nn.ReLU(),
        )


class Injector(nn.Module):
    """The ViT's patches look at the spatial tokens."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.norm_patches = nn.LayerNorm(width, eps=1e-6)
        self.norm_spatial = nn.LayerNorm(width, eps=1e-6)
        self.attention = DeformableAttention(width, len(STRIDES) - 1, **options)
        self.gain = LayerScale(width, GAIN)

    def forward(
        self, patches: Tensor, places: Tensor, spatial: Tensor, grids: Sequence[Grid]
    ) -> Tensor:
        """patches: (B, N, F). Returns what is added to them, the same shape."""
        found = self.attention(
            self.norm_patches(patches), places, self.norm_spatial(spatial), grids
        )
        added: Tensor = self.gain(found)
        return added


class Extractor(nn.Module):
    """Spatial tokens look at the ViT's patches, then pass a convolutional MLP."""

    def __init__(self, width: int, *, dims: int, **options: Any) -> None:
        super().__init__()
        self.norm_spatial = nn.LayerNorm(width, eps=1e-6)
        self.norm_patches = nn.LayerNorm(width, eps=1e-6)
        self.attention = DeformableAttention(width, 1, dims=dims, **options)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)
        self.mlp = ConvolutionalMlp(width, dims)

    def forward(
        self,
        spatial: Tensor,
        drops: torch.Generator,
        *,
        others: Tensor,
        grids: Sequence[Grid],
        vit: Tensor,
        grid: Grid,
    ) -> Tensor:
        """spatial: (B, V, F), which lies at `others`; vit: (B, N, F). Returns (B, V, F)."""
        spatial = spatial + self.attention(
            self.norm_spatial(spatial), others, self.norm_patches(vit), [grid]
        )
        branch: Tensor = self.mlp(self.norm_mlp(spatial), grids)
        if self.training:
            branch = drop_path(branch, DROP_PATH, drops)
        return spatial + branch


class ConvolutionalMlp(nn.Module):
    """Linear, a depthwise convolution of side 3 on each level's grid, GELU, linear."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        inner = int(width * FFN_RATIO)
        self.first = nn.Linear(width, inner)
        self.depthwise = CONVOLUTION[dims](inner, inner, 3, padding=1, groups=inner)
        self.last = nn.Linear(inner, width)

    def forward(self, x: Tensor, grids: Sequence[Grid]) -> Tensor:
        """x: (B, V, F), levels one after the other. Returns the same shape."""
        x = self.first(x)
        sizes = [torch.Size(each).numel() for each in grids]
        parts = [
            self.depthwise(as_map(part, grid)).flatten(2).transpose(1, 2)
            for part, grid in zip(torch.split(x, sizes, 1), grids, strict=True)
        ]
        result: Tensor = self.last(functional.gelu(torch.cat(parts, dim=1)))
        return result
