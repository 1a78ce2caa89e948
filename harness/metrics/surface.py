"""Distances between the surfaces of label maps, in mm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree

from ..schema.scores import Score

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]


def hd95(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    classes: int,
    spacing: Sequence[float],
) -> list[Score]:
    """Return the 95th percentile Hausdorff distance of structures 1..classes-1, in mm.

    In [0, diagonal of the image], lower is better. pred, truth: label maps of one shape
    (D, H, W) on the same grid; spacing: mm along each axis. The surface of a structure
    is its voxels that touch another label, or the image's border, by a face. For each
    direction the percentile is taken, linearly interpolated, over all surface voxels;
    the larger of the two is the score. This is MONAI's compute_hausdorff_distance
    (percentile=95, with spacing). A structure missing from one map or both has no
    value, and the reason `pred_empty`, `gt_empty` or `both_empty`.
    Raises ValueError where shapes, spacing or labels are wrong.

    >>> line = np.arange(8).reshape(8, 1, 1)
    >>> hd95((line == 2).astype(int), (line == 5).astype(int), 2, (1.5, 1, 1))
    [Score(value=4.5, reason=None)]
    """
    _check(pred, truth, classes, spacing)
    # find_objects takes native integers only; label maps of 8 to 64 bits pass uncopied.
    boxes_pred = find_objects(pred, max_label=classes - 1)
    boxes_truth = find_objects(truth, max_label=classes - 1)
    scores = []
    for k in range(1, classes):
        box_pred, box_truth = boxes_pred[k - 1], boxes_truth[k - 1]
        if box_pred is None or box_truth is None:
            missing = {
                (True, True): Score(None, "both_empty"),
                (True, False): Score(None, "pred_empty"),
                (False, True): Score(None, "gt_empty"),
            }
            scores.append(missing[box_pred is None, box_truth is None])
            continue
        box = _union(box_pred, box_truth)
        scores.append(Score(_distance(pred[box] == k, truth[box] == k, spacing)))
    return scores


def _check(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    classes: int,
    spacing: Sequence[float],
) -> None:
    if pred.shape != truth.shape:
        msg = f"prediction {pred.shape} and truth {truth.shape} differ in shape"
        raise ValueError(msg)
    if len(spacing) != pred.ndim or not all(0 < step < np.inf for step in spacing):
        msg = f"spacing {tuple(spacing)} needs {pred.ndim} positive numbers of mm"
        raise ValueError(msg)
    for name, labels in (("prediction", pred), ("truth", truth)):
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            msg = f"{name} has labels outside 0..{classes - 1}"
            raise ValueError(msg)


def _union(one: Box, two: Box) -> Box:
    """Return the smallest box around both boxes."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(one, two, strict=True)
    )


def _distance(pred: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """HD95 of two masks of one shape, neither empty, that fill their union box."""
    edge_pred, edge_truth = _surface(pred), _surface(truth)
    one = _directed(edge_pred, edge_truth, spacing)
    two = _directed(edge_truth, edge_pred, spacing)
    return max(one, two)


def _surface(mask: Mask) -> Mask:
    """Mark the voxels of a mask that have a face neighbour outside it.

    Outside the box counts as outside the mask. That is right both where the box is
    tight around the structures and where it ends at the image's border.
    """
    inner = np.ones_like(mask)
    for axis in range(mask.ndim):
        along, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[1:] &= along[:-1]
        kept[:-1] &= along[1:]
        kept[0] = False
        kept[-1] = False
    return mask & ~inner


def _directed(source: Mask, goal: Mask, spacing: Sequence[float]) -> float:
    """95th percentile of the distance from each source voxel to the nearest goal voxel.

    Voxels on both surfaces are at distance 0, so the tree is asked for the others only.
    """
    total = int(np.count_nonzero(source))
    away = np.argwhere(source & ~goal)
    # The rank of the 95th percentile among all voxels, of which the smallest are zeros.
    rank = 0.95 * (total - 1)
    zeros = total - len(away)
    if not len(away) or rank <= zeros - 1:
        return 0.0
    scale = np.asarray(spacing, dtype=np.float64)
    tree = cKDTree(np.argwhere(goal) * scale, balanced_tree=False, compact_nodes=False)
    found = tree.query(away * scale)[0]
    low = int(rank)
    sorted_part = np.partition(
        found, [max(low - zeros, 0), min(low + 1 - zeros, len(away) - 1)]
    )
    return _interpolate(sorted_part, low - zeros, rank - low)


def _interpolate(values: NDArray[np.float64], index: int, share: float) -> float:
    """Value at a fractional place of `values`, partitioned there; index -1 means 0."""
    below = float(values[index]) if index >= 0 else 0.0
    above = float(values[min(index + 1, len(values) - 1)])
    return below + share * (above - below)
