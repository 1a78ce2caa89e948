"""Residual network for images and volumes: ResNet-50, its kin and smaller ones.

He et al. 2016 with the stride in the 3x3 convolution, as in the widespread checkpoints
(METHODS 1.2, 1.23 for the 3-D analogue). Norms are batch norms over all ranks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batchnorm import BatchNorm
from .features import CONVOLUTION, Encoder, Features, Fill, network_input
from .init import initialise
from .masking import upsample_units
from .settings import ResNetSettings

_POOL = {2: functional.max_pool2d, 3: functional.max_pool3d}


class ResNet(Encoder):
    """The encoder; weights come from `rng` alone.

    `Features.maps` are the stem's map at half the resolution (of an 'imagenet' stem) and
    what each stage puts out; `merged` the stages' alone. Dilated stages keep the grid of
    the one before and dilate their convolutions of side 3 by 2, 4, .. instead. Maps are
    not normalised token by token, batch norm has done it. What a mask hides is set to 0
    at the input (METHODS 1.12: the CNN version), whatever `fill` says, since a
    convolution has no tokens.
    """

    def __init__(
        self, settings: ResNetSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.settings, self.dims = settings, settings.dims
        self.dilated = settings.dilated
        conv = CONVOLUTION[self.dims]
        big = settings.stem == "imagenet"
        kernel, stride = (7, 2) if big else (3, 1)
        self.stem = conv(
            channels, settings.width, kernel, stride=stride, padding=kernel // 2,
            bias=False,
        )  # fmt: skip
        self.stem_norm = BatchNorm(settings.width)
        self.stages = nn.ModuleList()
        inputs, widths = settings.width, []
        halved = len(settings.depths) - settings.dilated  # stages before dilated ones
        for stage, depth in enumerate(settings.depths):
            inner = settings.width * 2**stage
            parts: list[nn.Module] = []
            for block in range(depth):
                halves = block == 0 and 0 < stage < halved
                made = BLOCKS[settings.block](
                    self.dims, inputs, inner, 1 + halves,
                    dilation=2 ** max(0, stage - halved + 1),
                )  # fmt: skip
                parts.append(made)
                inputs = made.outputs
            self.stages.append(nn.Sequential(*parts))
            widths.append(inputs)
        self.merged_widths = tuple(widths)
        first = (settings.width,) if big else ()
        self.widths = (*first, *self.merged_widths)
        self.strides = (*([settings.patch] if big else []), *settings.strides)
        self.unit, self.stride = settings.unit, settings.stride
        self.unit_stage = settings.unit_stage
        self.unit_width = self.merged_widths[self.unit_stage - 1]
        self.pooled_width, self.cls_width = self.merged_widths[-1], 0
        # No token stands for hidden parts; kept so that all encoders have the same parts.
        self.mask_token = nn.Parameter(torch.zeros(channels), requires_grad=False)
        initialise(self, rng)
        self.drops = torch.Generator()

    def block_of(self, name: str) -> int:
        """Return how deep a parameter lies; stages hold blocks in a row."""
        parts = name.split(".")
        if parts[0] != "stages":
            return 0
        return int(sum(self.settings.depths[: int(parts[1])])) + int(parts[2]) + 1

    def forward(
        self,
        x: Tensor,
        mask_units: Tensor | None = None,
        rng: torch.Generator | None = None,  # noqa: ARG002 - nothing is dropped
        fill: Fill = "token",  # noqa: ARG002 - see the class
    ) -> Features:
        """Encode images of any size; see `Encoder.forward`."""
        x = network_input(x, self.stride, self.settings)
        if mask_units is not None:
            x = x.masked_fill(upsample_units(mask_units, self.unit), 0.0)
        y = functional.relu(self.stem_norm(self.stem(x)))
        maps = []
        if self.settings.stem == "imagenet":
            maps.append(y)
            y = _POOL[self.dims](y, 3, stride=2, padding=1)
        for stage in self.stages:
            y = stage(y)
            maps.append(y)
        merged = tuple(maps[-len(self.stages) :])
        return Features(
            tuple(maps), merged, merged[self.unit_stage - 1],
            pooled=y.flatten(2).mean(dim=2),
        )  # fmt: skip


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with four times as many channels out, and a shortcut (type B)."""

    def __init__(
        self, dims: int, inputs: int, inner: int, stride: int, *, dilation: int
    ) -> None:
        super().__init__()
        conv = CONVOLUTION[dims]
        self.outputs = 4 * inner
        self.conv1 = conv(inputs, inner, 1, bias=False)
        self.norm1 = BatchNorm(inner)
        self.conv2 = conv(
            inner, inner, 3, stride=stride, padding=dilation, dilation=dilation,
            bias=False,
        )  # fmt: skip
        self.norm2 = BatchNorm(inner)
        self.conv3 = conv(inner, self.outputs, 1, bias=False)
        self.norm3 = BatchNorm(self.outputs)
        self.shortcut = _shortcut(dims, inputs, self.outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, outputs, *(grid / stride))."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        return functional.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class _Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34)."""

    def __init__(
        self, dims: int, inputs: int, inner: int, stride: int, *, dilation: int
    ) -> None:
        super().__init__()
        conv = CONVOLUTION[dims]
        self.outputs = inner
        wide: dict[str, Any] = {
            "padding": dilation,
            "dilation": dilation,
            "bias": False,
        }
        self.conv1 = conv(inputs, inner, 3, stride=stride, **wide)
        self.norm1 = BatchNorm(inner)
        self.conv2 = conv(inner, inner, 3, **wide)
        self.norm2 = BatchNorm(inner)
        self.shortcut = _shortcut(dims, inputs, inner, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, inputs, *grid). Returns (B, outputs, *(grid / stride))."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def _shortcut(dims: int, inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(
        CONVOLUTION[dims](inputs, outputs, 1, stride=stride, bias=False),
        BatchNorm(outputs),
    )


BLOCKS: dict[str, type[_Bottleneck] | type[_Basic]] = {
    "bottleneck": _Bottleneck,
    "basic": _Basic,
}
