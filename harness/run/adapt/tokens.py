"""Tokens of a frozen encoder and what their voxels are, gathered for a linear fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...nn.objectives import region_masks
from ..data import TaskData
from ..inference import Windows
from ..networks import Shape
from ..node import Node
from ..probes import PatchProbe
from .batches import case_image

_BATCH = 4  # windows that pass the encoder together
_LINEAR = {2: "bilinear", 3: "trilinear"}


class Tokens(NamedTuple):
    """n tokens: features (n, C), layers side by side; shares (n, K) of their voxels."""

    features: Tensor
    shares: Tensor


@torch.no_grad()
def tokens_of(
    node: Node,
    data: TaskData,
    ids: Sequence[str],
    network: PatchProbe,
    shape: Shape,
    *,
    most: int,
    rng: torch.Generator,
) -> Tokens:
    """Return tokens of cases, float64 on the CPU, at most `most`, evenly drawn.

    Windows of the training crop cover each volume without overlap but at its end. All
    layers are read on the grid of the finest one, the others interpolated, as the
    network interpolates their logits. From each window as many tokens are kept.
    """
    windows = Windows(tuple(shape.crop), 0.0)
    count = sum(
        windows.count(data.cached.shape(data.cached.index_of(each))) for each in ids
    )
    stride = min(network.decoder.strides)
    each_has = math.prod(-(-side // stride) for side in shape.crop)
    keep = min(each_has, max(1, most // count))
    features: list[Tensor] = []
    shares: list[Tensor] = []
    for images, labels in _windows(node, data, ids, windows):
        x = _on_one_grid(network.maps(images), network.decoder.strides).cpu()
        y = _shares(labels, shape, stride)
        for tokens, parts in zip(x, y, strict=True):
            rows = torch.randperm(each_has, generator=rng)[:keep]
            features.append(tokens.flatten(1).T[rows].double())
            shares.append(parts.flatten(1).T[rows].double())
    return Tokens(torch.cat(features), torch.cat(shares))


def _windows(
    node: Node, data: TaskData, ids: Sequence[str], windows: Windows
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images (b, C, *crop) on the node's device and labels (b, *crop)."""
    for case_id in ids:
        label = data.cached.label(data.cached.index_of(case_id))
        assert label is not None  # listing and cache have checked it
        image = case_image(data, case_id, node)
        truth = torch.from_numpy(np.array(label))
        images, labels = windows.cut(image), windows.cut(truth[None])[:, 0]
        for first in range(0, len(images), _BATCH):
            some = slice(first, first + _BATCH)
            yield images[some], labels[some]


def _on_one_grid(maps: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """Return maps (B, C_i, *grid_i) side by side on the finest grid, (B, C, *grid)."""
    finest = min(strides)
    grid = maps[list(strides).index(finest)].shape[2:]
    inside = (slice(None), slice(None), *(slice(side) for side in grid))
    return torch.cat(
        [
            each if stride == finest else functional.interpolate(
                each, size=[n * (stride // finest) for n in each.shape[2:]],
                mode=_LINEAR[len(grid)],
            )[inside]
            for each, stride in zip(maps, strides, strict=True)
        ],
        dim=1,
    )  # fmt: skip


def _shares(labels: Tensor, shape: Shape, stride: int) -> Tensor:
    """Return what each class, or region, has of a token's voxels, (B, K, *grid)."""
    regions = shape.regions or [[value] for value in range(shape.classes)]
    masks = region_masks(labels, regions).float()
    pool = functional.avg_pool3d if labels.ndim == 4 else functional.avg_pool2d
    return pool(masks, stride, ceil_mode=True, count_include_pad=False)
