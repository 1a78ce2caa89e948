"""Augmentation of crops: batched, on their device, with the generator passed in.

Flips and quarter turns move image and label together; only planes whose two sides and
spacings are equal are turned. Intensity changes leave labels alone and are not clipped.
Decisions are drawn on the generator's device, once per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from .grid import SAME_SPACING

Draw = Callable[[int], Tensor]


def _whole(number: int, draw: Draw) -> Tensor:
    return draw(number)


def augment(
    images: Tensor,
    labels: Tensor | None,
    rng: torch.Generator,
    *,
    flip: float = 0.0,
    rotate: float = 0.0,
    scale_shift: float = 0.0,
    amount: float = 0.1,
    spacing: Sequence[float] | None = None,
    rows: Callable[[int, Draw], Tensor] = _whole,
) -> tuple[Tensor, Tensor | None]:
    """Flip, turn, scale and shift each sample by itself.

    images: (B, C, D, H, W) or (B, C, rows, columns); labels: the same without C, or None;
    flip: probability per axis;
    rotate: probability of a turn by 90, 180 or 270 degrees in one random plane;
    scale_shift: probability of a factor in 1 ± amount, and of an offset in ± amount.
    spacing: mm along the axes; none: equal. rows: how these samples get their rows of a
    draw (harness.nn.draws.rows where the batch is shared out).
    """
    # One draw of fixed size: switching one augmentation off does not shift the others.
    draws = rows(
        len(images),
        lambda n: torch.rand((n, 9), generator=rng, device=rng.device),
    ).to(images.device)
    if flip > 0:
        images, labels = _flip(images, labels, draws[:, 0 : images.ndim - 2] < flip)
    if rotate > 0:
        images, labels = _turn(
            images,
            labels,
            draws[:, 3] < rotate,
            draws[:, 4],
            planes_to_turn(images.shape[2:], spacing or (1.0,) * (images.ndim - 2)),
        )
    if scale_shift > 0:
        images = _scale_shift(images, draws[:, 5:9], scale_shift, amount)
    return images, labels


def planes_to_turn(
    size: Sequence[int], spacing: Sequence[float]
) -> tuple[tuple[int, int], ...]:
    """Return the planes (pairs of axes) whose sides and spacings are equal."""
    return tuple(
        (a, b)
        for a, b in combinations(range(len(size)), 2)
        if size[a] == size[b] and abs(spacing[a] / spacing[b] - 1) < SAME_SPACING
    )


def _pick(chosen: Tensor, changed: Tensor, kept: Tensor) -> Tensor:
    """Take `changed` for the samples chosen (B,) and `kept` for the others."""
    return torch.where(chosen.reshape(-1, *[1] * (kept.ndim - 1)), changed, kept)


def _flip(
    images: Tensor, labels: Tensor | None, chosen: Tensor
) -> tuple[Tensor, Tensor | None]:
    for axis in range(images.ndim - 2):
        images = _pick(chosen[:, axis], images.flip(2 + axis), images)
        if labels is not None:
            labels = _pick(chosen[:, axis], labels.flip(1 + axis), labels)
    return images, labels


def _turn(
    images: Tensor,
    labels: Tensor | None,
    chosen: Tensor,
    which: Tensor,
    planes: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor | None]:
    kinds = 3 * len(planes)
    kind = (which * kinds).long().clamp(max=kinds - 1)  # plane and number of quarters
    before, before_label = images, labels
    for number in range(kinds):
        (a, b), quarters = planes[number // 3], number % 3 + 1
        now = chosen & (kind == number)
        images = _pick(now, before.rot90(quarters, (2 + a, 2 + b)), images)
        if labels is not None and before_label is not None:
            turned = before_label.rot90(quarters, (1 + a, 1 + b))
            labels = _pick(now, turned, labels)
    return images, labels


def _scale_shift(images: Tensor, draws: Tensor, share: float, amount: float) -> Tensor:
    shape = (-1, *[1] * (images.ndim - 1))
    spread = (draws[:, 2:4] * 2 - 1) * amount
    used = spread * (draws[:, 0:2] < share)
    return images * (1 + used[:, 0].reshape(shape)) + used[:, 1].reshape(shape)
