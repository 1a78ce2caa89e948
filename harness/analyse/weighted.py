"""AUC, kappa, F1, sensitivity and specificity of weighted cases, many weightings at once.

y: (n,) true classes; scores: (n, classes) or predicted classes (n,); weights: (B, n),
how often each case counts. Each function returns the statistic, (B,), and where it is
defined; a class without a case makes it undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from ..metrics.classification import Weights, disagreement
from .intervals import Bools, Floats, Ints

Statistic = Literal["auc", "kappa", "f1", "sens", "spec"]
THRESHOLDED: tuple[Statistic, ...] = ("f1", "sens", "spec")
_DENSE = 2_000_000  # pairs of cases; above, sorting is cheaper than all pairs


def auc(
    y: Ints, scores: Floats, weights: Floats, of_class: int | None = None
) -> tuple[Floats, Bools]:
    """Weighted area, macro one-vs-rest, or of one class against the rest."""
    classes = scores.shape[1]
    total, known = np.zeros(len(weights)), np.ones(len(weights), dtype=bool)
    columns = [1] if classes == 2 else list(range(classes))
    if of_class is not None:
        columns = [of_class]
    for k in columns:
        pos, neg = weights[:, y == k], weights[:, y != k]
        pairs = pos.sum(axis=1) * neg.sum(axis=1)
        known &= pairs > 0
        higher, lower = scores[y == k, k], scores[y != k, k]
        dense = len(higher) * len(lower) <= _DENSE
        wins = (_wins_dense if dense else _wins_sorted)(higher, lower, pos, neg)
        total += wins / np.where(pairs > 0, pairs, 1.0)
    return total / len(columns), known


def _wins_dense(pos: Floats, neg: Floats, w_pos: Floats, w_neg: Floats) -> Floats:
    """Weighted count of positive-negative pairs in order, ties half: (B,)."""
    # Halves and small integers are exact in single precision, which is twice as fast.
    half = np.float32(0.5)
    order = np.sign(pos[:, None] - neg[None, :]).astype(np.float32) * half + half
    beaten = w_pos.astype(np.float32) @ order
    wins: Floats = np.einsum("bn,bn->b", beaten, w_neg, dtype=np.float64)
    return wins


def _wins_sorted(pos: Floats, neg: Floats, w_pos: Floats, w_neg: Floats) -> Floats:
    """Count the same from cumulated weights of the sorted negatives."""
    order = np.argsort(neg, kind="stable")
    ranked = neg[order]
    below = np.searchsorted(ranked, pos, side="left")
    up_to = np.searchsorted(ranked, pos, side="right")
    wins = np.empty(len(w_pos))
    for row in range(len(w_pos)):
        sums = np.concatenate([[0.0], np.cumsum(w_neg[row, order])])
        wins[row] = w_pos[row] @ (sums[below] + sums[up_to]) / 2
    return wins


def kappa(
    y: Ints, scores: Floats, weights: Floats, kind: Weights
) -> tuple[Floats, Bools]:
    """Weighted Cohen's kappa of the classes with the largest scores."""
    classes = scores.shape[1]
    code = y * classes + scores.argmax(axis=1)
    hot = np.zeros((len(y), classes**2))
    hot[np.arange(len(y)), code] = 1
    joint = (weights @ hot).reshape(-1, classes, classes)
    cost = disagreement(classes, kind)
    chance = np.einsum("bi,ij,bj->b", joint.sum(axis=2), cost, joint.sum(axis=1))
    cost_found = np.einsum("bij,ij->b", joint, cost) * joint.sum(axis=(1, 2))
    known = chance > 0
    return 1 - cost_found / np.where(known, chance, 1.0), known


def _margins(
    y: Ints, predicted: Ints, classes: int, weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weights of hits, of truths and of predictions of every class, (B, classes)."""
    truth = np.eye(classes)[y]
    hits = weights @ (truth * (predicted == y)[:, None])
    found = weights @ np.eye(classes)[predicted]
    return hits, weights @ truth, found


def f1(y: Ints, predicted: Ints, classes: int, weights: Floats) -> tuple[Floats, Bools]:
    """Macro F1: the plain mean over classes of 2 hits / (truths + predictions)."""
    hits, truths, found = _margins(y, predicted, classes, weights)
    known: Bools = np.all(truths > 0, axis=1)
    each = 2 * hits / np.where(truths + found > 0, truths + found, 1.0)
    return each.mean(axis=1), known


def sensitivity(
    y: Ints, predicted: Ints, classes: int, weights: Floats
) -> tuple[Floats, Bools]:
    """Share of class 1 that is found; of more than two classes the mean over all."""
    hits, truths, _ = _margins(y, predicted, classes, weights)
    known: Bools = np.all(truths > 0, axis=1)
    each = hits / np.where(truths > 0, truths, 1.0)
    return (each[:, 1] if classes == 2 else each.mean(axis=1)), known


def specificity(
    y: Ints, predicted: Ints, classes: int, weights: Floats
) -> tuple[Floats, Bools]:
    """Share of the others that is not taken for class 1; of more classes the mean."""
    hits, truths, found = _margins(y, predicted, classes, weights)
    known: Bools = np.all(truths > 0, axis=1)
    others = truths.sum(axis=1, keepdims=True) - truths
    right = others - (found - hits)
    each = right / np.where(others > 0, others, 1.0)
    return (each[:, 1] if classes == 2 else each.mean(axis=1)), known


OF_CLASSES: dict[Statistic, Callable[..., tuple[Floats, Bools]]] = {
    "f1": f1, "sens": sensitivity, "spec": specificity,
}  # fmt: skip


def predicted_classes(scores: Floats, threshold: float | None) -> Ints:
    """Return the class of each case: by a threshold of class 1, else the largest score.

    A threshold counts with two classes only. Of equal scores the first wins.
    """
    if threshold is not None and scores.shape[1] == 2:
        above: Ints = (scores[:, 1] >= threshold).astype(np.int64)
        return above
    largest: Ints = scores.argmax(axis=1).astype(np.int64)
    return largest


def youden(y: Ints, scores: Floats) -> float | None:
    """Return the threshold of class 1 with the largest sensitivity plus specificity.

    y: (n,) in {0, 1}; scores: (n, 2), to be those of the validation side. Candidates
    lie halfway between neighbouring scores; of equally good ones the middle is taken.
    None where one class is absent: no threshold can be chosen.
    """
    positive = scores[:, 1]
    if not 0 < int((y == 1).sum()) < len(y):
        return None
    levels = np.unique(positive)
    edges = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2])
    sens = (positive[y == 1][None] >= edges[:, None]).mean(axis=1)
    spec = (positive[y != 1][None] < edges[:, None]).mean(axis=1)
    best = np.flatnonzero(sens + spec >= (sens + spec).max() - 1e-12)
    return float(edges[best[len(best) // 2]])
