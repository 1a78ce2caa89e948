"""Regions: unions of structures that may overlap, each scored as a mask of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..schema.scores import Score

Labels = NDArray[np.uint8]


def masks(labels: Labels, regions: Sequence[Sequence[int]]) -> Labels:
    """Return masks (R, *sides), 0 or 1, of a label map (*sides).

    regions: the label values of each region.

    >>> masks(np.array([0, 1, 2], np.uint8), [(1, 2), (2,)])
    array([[0, 1, 1],
           [0, 0, 1]], dtype=uint8)
    """
    found = np.zeros((len(regions), *labels.shape), np.bool_)
    for mask, values in zip(found, regions, strict=True):
        for value in values:  # comparing makes no table of 64-bit places, as isin does
            mask |= labels == value
    return found.view(np.uint8)


def each(
    metric: Callable[[Labels, Labels], list[Score]], pred: Labels, truth: Labels
) -> list[Score]:
    """Return a score per region of masks (R, *sides).

    metric: scores the structures of two label maps; a mask is a map with one structure.
    """
    return [metric(p, t)[0] for p, t in zip(pred, truth, strict=True)]


def painted(found: Labels) -> Labels:
    """Return masks (R, *sides) as one label map for pictures.

    A voxel shows the region, numbered from 1, that is the smallest of those it lies in.
    """
    label = np.zeros(found.shape[1:], np.uint8)
    sizes = found.reshape(len(found), -1).sum(axis=1)
    for region in np.argsort(-sizes.astype(np.int64), kind="stable"):
        label[found[region] > 0] = region + 1
    return label
