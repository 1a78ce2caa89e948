"""Whole volumes through an encoder: what classification sees outside of training.

One crop per case, the volume's centre at the size of the training crop, padded with 0
where the volume is smaller. Cases are cropped around what they are about (a nodule), so
the centre is where it lies; random crops in training are jitter around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..data import TaskData
from ..inference import centre_crop
from ..networks import Model, TaskShape
from ..node import Node
from .batches import case_image


def class_logits(
    node: Node,
    data: TaskData,
    ids: Sequence[str],
    shape: TaskShape,
    network: Model,
    *,
    batch: int,
) -> Tensor:
    """Return the logits (n, classes) of cases, on the CPU."""
    return through(node, data, ids, shape, network, batch=batch)


@torch.no_grad()
def through(
    node: Node,
    data: TaskData,
    ids: Sequence[str],
    shape: TaskShape,
    function: Callable[[Tensor], Tensor],
    *,
    batch: int,
) -> Tensor:
    """Return what a function makes of cases, `batch` at a time, on the CPU."""
    parts: list[Tensor] = []
    for first in range(0, len(ids), batch):
        crops = [
            centre_crop(case_image(data, case_id, node), shape.crop)
            for case_id in ids[first : first + batch]
        ]
        parts.append(function(torch.stack(crops)).cpu())
    return torch.cat(parts)
