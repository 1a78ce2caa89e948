"""Quarter turns and flips of whole batches: the rotations of a square or a cube."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product

import torch
from torch import Tensor

# One turn: which input axis each output axis reads, and whether backwards.
Turn = tuple[tuple[int, ...], tuple[bool, ...]]


def turn(x: Tensor, how: Turn) -> Tensor:
    """Turn (B, C, *sides) exactly, by a permutation of its axes and flips.

    Sides that change places must be equal for batches to be put together again.
    """
    order, flips = how
    moved = x.permute(0, 1, *(axis + 2 for axis in order))
    back = [axis + 2 for axis, flip in enumerate(flips) if flip]
    return moved.flip(back) if back else moved


def turn_each(x: Tensor, label: Tensor, turns: Sequence[Turn]) -> Tensor:
    """Turn sample i by turns[label[i]]. x: (B, C, *sides), equal sides; label: (B,)."""
    turned = torch.empty_like(x)
    for index, how in enumerate(turns):
        chosen = (label == index).nonzero().flatten()
        if len(chosen):
            turned[chosen] = turn(x[chosen], how)
    return turned


@cache
def in_plane(dims: int) -> tuple[Turn, ...]:
    """Return 0, 90, 180 and 270 degrees in the plane of the last two axes."""
    quarter = _quarter(dims, dims - 2, dims - 1)
    return tuple(_powers(quarter, dims))


@cache
def about_axes() -> tuple[Turn, ...]:
    """Return the identity and 90, 180 and 270 degrees about each of three axes: 10."""
    found = [_identity(3)]
    for first, second in ((1, 2), (0, 2), (0, 1)):
        found += _powers(_quarter(3, first, second), 3)[1:]
    return tuple(found)


@cache
def of_the_cube() -> tuple[Turn, ...]:
    """Return the 24 rotations of a cube, the identity first; no reflections."""
    found = []
    for order, flips in product(
        permutations(range(3)), product((False, True), repeat=3)
    ):
        inversions = sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3))
        if (inversions + sum(flips)) % 2 == 0:  # determinant 1
            found.append((tuple(order), tuple(flips)))
    found.sort(key=lambda how: how != _identity(3))
    return tuple(found)


def _identity(dims: int) -> Turn:
    return tuple(range(dims)), (False,) * dims


def _quarter(dims: int, first: int, second: int) -> Turn:
    """Return a quarter turn from axis `first` towards `second`, as torch.rot90."""
    order = list(range(dims))
    order[first], order[second] = second, first
    return tuple(order), tuple(axis == first for axis in range(dims))


def _powers(quarter: Turn, dims: int) -> list[Turn]:
    found = [_identity(dims)]
    for _ in range(3):
        found.append(_after(quarter, found[-1]))
    return found


def _after(second: Turn, first: Turn) -> Turn:
    """Return the turn that does `first`, then `second`."""
    order = tuple(first[0][axis] for axis in second[0])
    flips = tuple(
        first[1][axis] != flip for axis, flip in zip(second[0], second[1], strict=True)
    )
    return order, flips
