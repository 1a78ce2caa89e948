"""Overlap of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..schema.scores import Score

# Voxels per bincount: its 64-bit copy of a slab then stays in the processor's cache.
_SLAB = 1 << 18


def dice(
    pred: NDArray[np.integer], truth: NDArray[np.integer], classes: int
) -> list[Score]:
    """Return 2|P∩T| / (|P|+|T|) of structures 1..classes-1, each in [0, 1].

    Higher is better. pred, truth: label maps of one shape (D, H, W), values in
    [0, classes). A structure missing from one map alone scores 0 with the reason
    `pred_empty` or `gt_empty`; missing from both it has no value (`both_empty`).
    Raises ValueError where shapes differ or a label lies outside the classes.
    Definition: Dice, Ecology 26 (1945).

    >>> dice(np.array([[[0, 1, 1]]]), np.array([[[0, 0, 1]]]), 2)
    [Score(value=0.6666666666666666, reason=None)]
    """
    joint = confusion(pred, truth, classes)
    overlap = np.diagonal(joint)
    in_truth, in_pred = joint.sum(axis=1), joint.sum(axis=0)
    return [
        _dice_of(int(overlap[k]), int(in_pred[k]), int(in_truth[k]))
        for k in range(1, classes)
    ]


def _dice_of(overlap: int, in_pred: int, in_truth: int) -> Score:
    if in_pred and in_truth:
        return Score(2 * overlap / (in_pred + in_truth))
    if in_pred:
        return Score(0.0, "gt_empty")
    if in_truth:
        return Score(0.0, "pred_empty")
    return Score(None, "both_empty")


def confusion(
    pred: NDArray[np.integer], truth: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Count voxels by (true class, predicted class): (classes, classes).

    One bincount of `classes * truth + pred`, slab by slab, gives every class at once.
    Raises ValueError where shapes differ or a label lies outside [0, classes).
    """
    if pred.shape != truth.shape:
        msg = f"prediction {pred.shape} and truth {truth.shape} differ in shape"
        raise ValueError(msg)
    for name, labels in (("prediction", pred), ("truth", truth)):
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            msg = f"{name} has labels outside 0..{classes - 1}"
            raise ValueError(msg)
    counts = np.zeros(classes * classes, dtype=np.int64)
    # The smallest type that holds every code keeps the slabs small.
    kind = np.min_scalar_type(classes * classes - 1)
    flat_pred, flat_truth = pred.reshape(-1), truth.reshape(-1)
    for start in range(0, flat_pred.size, _SLAB):
        stop = start + _SLAB
        code = np.multiply(
            flat_truth[start:stop], classes, dtype=kind, casting="unsafe"
        )
        np.add(code, flat_pred[start:stop], out=code, casting="unsafe")
        counts += np.bincount(code, minlength=counts.size)
    return counts.reshape(classes, classes)
