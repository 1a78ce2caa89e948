"""Convolutional decoders for segmentation, on a hierarchical or a plain encoder.

`CnnDecoder` is that of SwinUNETR and SMIT (METHODS 2.1). Skips are each stage's output
*before* its merge, LayerNormed (SMIT's choice), not the patch embedding and the merged
maps (MONAI's SwinUNETR). The raw image is a skip of its own at full resolution. As in
both, the deepest skip joins as it is; the others, the bottleneck and the image pass a
residual block first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..schema.doublings import doublings
from .features import CONVOLUTION, Encoder, Features
from .init import initialise
from .norm import InstanceNorm

# Width below which the network is a scaled-down one.
PAPER_WIDTH = 48


def full_resolution_width(width: int) -> int:
    """Return the channels at full resolution beside a stem of `width`: as many, or half.

    Half below 48, where one thread would otherwise spend most of a step there.
    """
    return max(1, width // 2) if width < PAPER_WIDTH else width


class CnnDecoder(nn.Module):
    """From an encoder's maps and the image to a logit per class and voxel.

    widths: channels of `Features.maps`, finest first, the bottleneck last; any number
    of stages. patch: voxels per side of a stem token. dilated: how many of the last maps
    are not coarser than the one before. full_width: channels at full resolution, by
    default widths[0] (the published choice), or half of it below 48. joins: how many of
    the last maps it needs.
    """

    joins: int

    def __init__(
        self,
        widths: Sequence[int],
        channels: int,
        classes: int,
        patch: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
        dilated: int = 0,
        full_width: int | None = None,
    ) -> None:
        super().__init__()
        *stages, deepest = widths
        self.joins = len(widths)
        full_width = full_width or full_resolution_width(widths[0])
        self.image = ResidualBlock(dims, channels, full_width)
        self.skips = nn.ModuleList(
            ResidualBlock(dims, width, width) for width in stages[:-1]
        )
        self.bottleneck = ResidualBlock(dims, deepest, deepest)
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(
            _Up(dims, low, high, 1 if step < dilated else 2)
            for step, (low, high) in enumerate(rising)
        )
        self.last = _Up(dims, widths[0], full_width, patch)
        self.classify = POINTWISE[dims](full_width, classes, 1)
        initialise(self, rng)

    def forward(self, x: Tensor, features: Features) -> Tensor:
        """x: (B, channels, *sides). Returns logits (B, classes, *sides)."""
        x, *maps = (memory_order(x) for x in (x, *features.maps))
        *stages, deepest = maps
        skips = [
            block(skip) for block, skip in zip(self.skips, stages[:-1], strict=True)
        ]
        skips.append(stages[-1])
        y = self.bottleneck(deepest)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            y = up(y, skip)
        logits: Tensor = self.classify(self.last(y, self.image(x)))
        return logits


class PlainDecoder(nn.Module):
    """UNETR's decoder for an encoder whose maps all have one grid (METHODS 2.2).

    The tokens of earlier layers are raised to finer grids by transposed convolutions and
    residual blocks: of a patch of 16, the maps after 1/4, 1/2 and 3/4 of the blocks to
    1/2, 1/4 and 1/8 of the input; of a smaller patch only the later ones, `joins` maps in
    all. base: channels at full resolution, doubled per level, by default `narrowed`.
    """

    joins: int

    def __init__(
        self,
        widths: Sequence[int],
        channels: int,
        classes: int,
        patch: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
        base: int | None = None,
    ) -> None:
        super().__init__()
        levels = self.joins = doublings(patch)
        base = base or narrowed(widths[-1])
        high = [base * 2**level for level in range(levels)]  # finest first
        self.image = ResidualBlock(dims, channels, high[0])
        taps = widths[len(widths) - levels : -1]
        self.raises = nn.ModuleList(
            _Raise(dims, width, high[level], levels - level)
            for level, width in enumerate(taps, start=1)
        )
        rising = zip([widths[-1], *high[:0:-1]], high[::-1], strict=True)
        self.ups = nn.ModuleList(_Up(dims, low, up, 2) for low, up in rising)
        self.classify = POINTWISE[dims](high[0], classes, 1)
        initialise(self, rng)

    def forward(self, x: Tensor, features: Features) -> Tensor:
        """x: (B, channels, *sides). Returns logits (B, classes, *sides)."""
        x, *maps = (memory_order(x) for x in (x, *features.maps))
        *taps, y = maps
        taps = taps[len(taps) - len(self.raises) :]
        skips = [self.image(x)]
        skips += [up(tap) for up, tap in zip(self.raises, taps, strict=True)]
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            y = up(y, skip)
        logits: Tensor = self.classify(y)
        return logits


class PyramidDecoder(nn.Module):
    """UNet's decoder on a pyramid at 1/2, 1/4, .. whose maps all have one width.

    Image and maps pass a residual block to `narrowed` channels, doubled per level from
    the second map on, and join from the coarsest up: 32, 32, 64, 128, 256 of a published
    ViT (METHODS 2.3). width: of the maps; levels: their number.
    """

    def __init__(
        self,
        width: int,
        levels: int,
        channels: int,
        classes: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
    ) -> None:
        super().__init__()
        base = narrowed(width)
        high = [base * 2**level for level in range(levels)]  # finest first
        self.image = ResidualBlock(dims, channels, base)
        self.maps = nn.ModuleList(ResidualBlock(dims, width, each) for each in high)
        rising = zip(high[::-1], [*high[-2::-1], base], strict=True)
        self.ups = nn.ModuleList(_Up(dims, low, up, 2) for low, up in rising)
        self.classify = POINTWISE[dims](base, classes, 1)
        initialise(self, rng)

    def forward(self, x: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """x: (B, channels, *sides). Returns logits (B, classes, *sides)."""
        x, *maps = (memory_order(each) for each in (x, *pyramid))
        *skips, y = [block(each) for block, each in zip(self.maps, maps, strict=True)]
        skips.insert(0, self.image(x))
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            y = up(y, skip)
        logits: Tensor = self.classify(y)
        return logits


def narrowed(width: int) -> int:
    """Return the channels at full resolution beside a plain encoder of some width.

    32 as published; below a width of 384 a twelfth of it, 8 or more (chosen here).
    """
    return max(8, min(32, width // 12))


def build_decoder(
    encoder: Encoder, channels: int, classes: int, rng: torch.Generator
) -> CnnDecoder | PlainDecoder:
    """Return the decoder that fits an encoder: by whether its maps get coarser."""
    widths, patch, dims = encoder.widths, encoder.settings.patch, encoder.dims
    if len(set(widths)) == 1:
        return PlainDecoder(widths, channels, classes, patch, rng, dims=dims)
    return CnnDecoder(
        widths, channels, classes, patch, rng, dims=dims, dilated=encoder.dilated
    )


class _Raise(nn.Module):
    """`times` doublings of the grid, each followed by a residual block but the first."""

    def __init__(self, dims: int, inputs: int, outputs: int, times: int) -> None:
        super().__init__()
        self.first = RAISING[dims](inputs, outputs, 2, stride=2, bias=False)
        self.rest = nn.ModuleList(
            nn.Sequential(
                RAISING[dims](outputs, outputs, 2, stride=2, bias=False),
                ResidualBlock(dims, outputs, outputs),
            )
            for _ in range(times - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, outputs, *(grid * 2^times))."""
        x = self.first(x)
        for part in self.rest:
            x = part(x)
        return x


class _Pointwise3d(nn.Conv3d):
    """A 1x1x1 convolution; on the CPU a matrix product, where torch's is slow."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, D, H, W). Returns (B, outputs, D, H, W)."""
        return _pointwise(self, x) if x.device.type == "cpu" else super().forward(x)


class _Pointwise2d(nn.Conv2d):
    """The same of an image."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, H, W). Returns (B, outputs, H, W)."""
        return _pointwise(self, x) if x.device.type == "cpu" else super().forward(x)


def _pointwise(layer: nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    y = functional.linear(x.movedim(1, -1), layer.weight.flatten(1), layer.bias)
    return y.movedim(-1, 1)


POINTWISE = {2: _Pointwise2d, 3: _Pointwise3d}
RAISING = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class ResidualBlock(nn.Module):
    """Two convolutions of side 3, instance norm, a shortcut and LeakyReLU(0.01)."""

    def __init__(self, dims: int, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = CONVOLUTION[dims]
        self.conv1 = conv(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = InstanceNorm(outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = InstanceNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                POINTWISE[dims](inputs, outputs, 1, bias=False), InstanceNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, outputs, *grid)."""
        y = functional.leaky_relu(self.norm1(self.conv1(x)), 0.01)
        y = self.norm2(self.conv2(y)) + self.shortcut(x)
        return functional.leaky_relu(y, 0.01)


class _Up(nn.Module):
    """A transposed convolution by `factor`, the skip joined, a residual block."""

    def __init__(self, dims: int, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.up = RAISING[dims](inputs, outputs, factor, stride=factor, bias=False)
        self.block = ResidualBlock(dims, 2 * outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (B, inputs, *low); skip: (B, outputs, *high), high <= factor * low."""
        y = self.up(x)[:, :, *(slice(side) for side in skip.shape[2:])]  # odd sides
        result: Tensor = self.block(torch.cat([y, skip], dim=1))
        return result


def memory_order(x: Tensor) -> Tensor:
    """Put channels last in memory on the CPU, where that is faster, else first."""
    if x.device.type == "cpu":
        last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        return x.contiguous(memory_format=last)
    return x.contiguous()
