"""Scores of a list of class predictions."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..schema.scores import Score

Weights = Literal["unweighted", "quadratic"]


def auc(y: NDArray[np.integer], scores: NDArray[np.floating]) -> Score:
    """Return the area under the ROC curve in [0, 1], macro one-vs-rest.

    Higher is better. y: (n,) true classes in [0, classes); scores: (n, classes), larger
    is more likely. Two classes: the area of class 1. More: the plain mean over classes
    of each class against the rest. Ties count half (Mann-Whitney). Where a class of the
    task has no case in y, or all of them, there is no value: reason `class_absent`.
    Raises ValueError where shapes disagree or a score is not finite.

    >>> auc(np.array([0, 0, 1]), np.array([[.9, .1], [.4, .6], [.2, .8]]))
    Score(value=1.0, reason=None)
    """
    count, classes = _check_scores(y, scores)
    present = np.bincount(y, minlength=classes)
    if count == 0 or not present.all():
        return Score(None, "class_absent")
    columns = [1] if classes == 2 else range(classes)
    areas = []
    for k in columns:
        positives = int(present[k])
        higher, lower = scores[y == k, k], np.sort(scores[y != k, k])
        # Ranks among the negatives; halfway where scores are equal.
        below = np.searchsorted(lower, higher, side="left")
        up_to = np.searchsorted(lower, higher, side="right")
        wins = float((below + up_to).sum()) / 2
        areas.append(wins / (positives * (count - positives)))
    return Score(float(np.mean(areas)))


def _check_scores(
    y: NDArray[np.integer], scores: NDArray[np.floating]
) -> tuple[int, int]:
    if scores.ndim != 2 or len(scores) != len(y) or scores.shape[1] < 2:
        msg = f"{len(y)} labels need scores of shape (n, classes), not {scores.shape}"
        raise ValueError(msg)
    if not np.isfinite(scores).all():
        msg = "scores need to be finite"
        raise ValueError(msg)
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < scores.shape[1]:
        msg = f"labels lie outside 0..{scores.shape[1] - 1}"
        raise ValueError(msg)
    return len(y), scores.shape[1]


def kappa(
    y: NDArray[np.integer],
    pred: NDArray[np.integer],
    classes: int,
    weights: Weights = "unweighted",
) -> Score:
    """Return Cohen's kappa in [-1, 1]: agreement beyond chance. Higher is better.

    y, pred: (n,) classes in [0, classes). `quadratic` charges a disagreement by its
    squared distance, for ordered classes. Where labels and predictions all fall into
    one and the same class chance alone agrees: no value, reason `class_absent`.
    Raises ValueError where shapes disagree or a class lies outside.
    Definition: Cohen, Psychological Bulletin 70 (1968).

    >>> kappa(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), 2)
    Score(value=0.5, reason=None)
    """
    if y.shape != pred.shape or y.ndim != 1:
        msg = f"labels {y.shape} and predictions {pred.shape} need one shape (n,)"
        raise ValueError(msg)
    both = np.concatenate([y, pred])
    if len(both) and not 0 <= int(both.min()) <= int(both.max()) < classes:
        msg = f"labels or predictions lie outside 0..{classes - 1}"
        raise ValueError(msg)
    code = y.astype(np.int64) * classes + pred
    joint = np.bincount(code, minlength=classes**2).reshape(classes, -1)
    cost = disagreement(classes, weights)
    expected = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    chance = float((cost * expected).sum())
    if chance == 0:
        return Score(None, "class_absent")
    return Score(1 - float((cost * joint).sum()) * len(y) / chance)


def disagreement(classes: int, weights: Weights) -> NDArray[np.float64]:
    """Return the (classes, classes) cost of each (true, predicted) pair."""
    places = np.arange(classes, dtype=np.float64)
    apart = np.abs(places[:, None] - places[None, :])
    return np.square(apart) if weights == "quadratic" else np.minimum(apart, 1.0)
