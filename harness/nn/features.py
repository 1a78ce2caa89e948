"""What an encoder is to everything that uses one, and what it hands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..schema.errors import DataError
from .input_scale import ForegroundZScore, InputSettings, PerChannel

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}

# What stands where a mask hides: a learnt token, or nothing (zeros, position kept).
Fill = Literal["token", "zero"]


@dataclass(frozen=True)
class Features:
    """Feature maps of one pass, channel-first, each token LayerNormed.

    *grid has two or three axes, as the input has.

    maps: what a decoder joins, finest first, the bottleneck last. Of a hierarchical
    encoder with n stages, n + 1 maps (B, C_i, *grid_i): what each stage puts out before
    its merge (1/2, 1/4, ... of the input at patch 2), then the last merged map. Of a
    plain one, the tokens after each quarter of its blocks, (B, C, *grid).
    merged: what a stage hands to the next, after its merge; of a plain encoder the maps.
    units: (B, C_u, *units), the deepest tokens of which each covers one mask unit.
    pooled: (B, C_p), the image vector that is classified: the class token where the
    encoder ends with one, else the mean of the bottleneck.
    cls: (B, C_c), the class token, where the encoder has one (in semantic attention, or
    at the end).
    attention: (B, *grid_a), how the class token attends to the patches in the last block
    that holds it: mean over heads, class token left out, sums to 1, no gradient.
    """

    maps: tuple[Tensor, ...]
    merged: tuple[Tensor, ...]
    units: Tensor
    pooled: Tensor
    cls: Tensor | None = None
    attention: Tensor | None = None


@dataclass(frozen=True)
class Layer:
    """What one of the last layers of a pass holds, for readers of frozen features.

    map: (B, C, *grid), as `Features.maps`. vector: (B, C_v), an image vector: the class
    token where the encoder ends with one, else the mean of the map.
    """

    map: Tensor
    vector: Tensor


class Encoder(nn.Module):
    """What methods and downstream networks rely on; abstract.

    settings: what it was built from. dims: 2 or 3. unit: voxels per side of a mask unit.
    stride: voxels per side of a bottleneck token. widths, strides: channels of
    `Features.maps`, and voxels per side of a token of each. layer_widths, layer_strides:
    the same of all that `last_layers` can return. ends_with_class: whether image vectors
    are class tokens.
    unit_stage: stage (from 1) whose merged tokens cover one unit each; unit_width and
    merged_widths: their channels and those of every `Features.merged`. pooled_width and
    cls_width: channels of `pooled` and `cls`, the latter 0 where there is none. stem: the
    layer that makes tokens of voxels. dilated: the last maps that are not coarser than
    the one before.
    """

    settings: Any
    dims: int
    unit: int
    stride: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    merged_widths: tuple[int, ...]
    unit_stage: int
    unit_width: int
    pooled_width: int
    cls_width: int
    mask_token: nn.Parameter
    stem: nn.Module
    drops: torch.Generator
    dilated: int = 0
    ends_with_class: bool = False
    # Told the image vectors, detached, of training passes that are no call of the module.
    watch: Callable[[Tensor], None] | None = None

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Channels of each layer, the last one last."""
        return self.widths

    @property
    def layer_strides(self) -> tuple[int, ...]:
        """Voxels per side of a token of each layer."""
        return self.strides

    def last_layers(self, x: Tensor, count: int) -> tuple[Layer, ...]:
        """Encode images as `forward` does; return the last `count` layers, last one last.

        A hierarchical encoder's layers are its maps, a plain one's its blocks, through
        the final norm. The last vector is `Features.pooled`.
        """
        features: Features = self(x)
        *before, last = features.maps[-count:]
        vectors = [each.flatten(2).mean(dim=2) for each in before]
        pairs = zip((*before, last), (*vectors, features.pooled), strict=True)
        return tuple(Layer(*pair) for pair in pairs)

    def block_of(self, name: str) -> int:
        """Return how deep a parameter lies: 0 the stem, n the n-th block or merge.

        name: as named_parameters() has it.
        """
        raise NotImplementedError

    def hide_nothing(self) -> None:
        """Take the mask token out of training, where nothing is ever hidden."""
        self.mask_token.requires_grad = False

    def forward(
        self,
        x: Tensor,
        mask_units: Tensor | None = None,
        rng: torch.Generator | None = None,
        fill: Fill = "token",
    ) -> Features:
        """Encode images of any size; a side that does not divide is padded with zeros.

        x: (B, C, *sides), intensities in [0, 1]. mask_units: bool (B, *units), True =
        hidden, where a unit is a cube (square) of `unit` voxels, or of `settings.patch`
        if there is one for each token of the stem; `fill` says what stands there. rng:
        draws of drop path in training; without it they come from the generator made at
        construction.
        """
        raise NotImplementedError


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """Append zeros, what [0, 1] has as background, until every side divides."""
    extra = [-side % multiple for side in x.shape[2:]]
    if not any(extra):
        return x
    return functional.pad(x, [n for more in reversed(extra) for n in (0, more)])


def network_input(x: Tensor, multiple: int, settings: InputSettings) -> Tensor:
    """Pad images in [0, 1] and give them the intensities that an encoder takes.

    x: (B, C, *sides). Returns (B, C, *padded).
    """
    x, (low, high) = pad_to(x, multiple), settings.intensity
    if settings.normalise is not None:
        return _normalised(x, settings.normalise)
    return x if (low, high) == (0.0, 1.0) else x * (high - low) + low


def _normalised(x: Tensor, how: PerChannel | ForegroundZScore) -> Tensor:
    axes = tuple(range(2, x.ndim))
    if isinstance(how, PerChannel):
        if len(how.mean) not in (1, x.shape[1]):
            msg = (
                f"the encoder normalises {len(how.mean)} channels, and the image has "
                f"{x.shape[1]}"
            )
            raise DataError(msg)
        mean, std = (
            x.new_tensor(each).view(1, -1, *[1] * len(axes))
            for each in (how.mean, how.std)
        )
        return (x - mean) / std
    seen = x > 0
    count = seen.sum(axes, keepdim=True).clamp(min=1)
    mean = x.where(seen, 0).sum(axes, keepdim=True) / count
    spread = (x - mean).square().where(seen, 0).sum(axes, keepdim=True) / count
    # An image of one intensity has no spread: its foreground becomes 0.
    return ((x - mean) / spread.sqrt().clamp(min=1e-6)).where(seen, 0)


def lr_factors(
    module: nn.Module, *, layer_decay: float, stem: float
) -> dict[str, float]:
    """Return factors of the learning rate by parameter name, where they are not 1.

    layer_decay ** (blocks above a parameter) for those of every encoder below `module`,
    as in BEiT and DINOv2 (METHODS 1.20), and `stem` on top for the layer that embeds
    patches; 1 for everything else.
    """
    factors: dict[str, float] = {}
    if layer_decay == 1 and stem == 1:
        return factors
    for path, part in module.named_modules():
        if not isinstance(part, Encoder):
            continue
        names = [name for name, _ in part.named_parameters()]
        top = max(part.block_of(name) for name in names)
        for name in names:
            factor = layer_decay ** (top - part.block_of(name))
            if name.startswith("stem."):
                factor *= stem
            factors[f"{path}.{name}".lstrip(".")] = factor
    return factors
