"""Dice against a plain loop over masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.overlap import confusion, dice
from harness.schema.scores import Score


def slow_dice(pred, truth, k):
    p, t = pred == k, truth == k
    if not p.any() and not t.any():
        return None, "both_empty"
    reason = "pred_empty" if not p.any() else "gt_empty" if not t.any() else None
    return 2 * (p & t).sum() / (p.sum() + t.sum()), reason


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([2, 3, 14, 16, 17, 40, 300]),
    kind=st.sampled_from([np.uint8, np.int16, np.int64]),
)
def test_equals_a_plain_loop(seed, classes, kind):
    rng = np.random.default_rng(seed)
    top = min(classes, 256) if kind is np.uint8 else classes
    shape = tuple(rng.integers(1, 9, 3))
    pred, truth = (rng.integers(0, top, shape).astype(kind) for _ in range(2))
    scores = dice(pred, truth, classes)
    assert len(scores) == classes - 1
    for k, score in enumerate(scores, start=1):
        value, reason = slow_dice(pred, truth, k)
        assert score.reason == reason
        assert score.value == (None if value is None else pytest.approx(value))


def test_more_than_one_slab_and_views_that_are_not_contiguous():
    rng = np.random.default_rng(0)
    pred = rng.integers(0, 5, (90, 80, 70)).astype(np.uint8).transpose(2, 0, 1)[::-1]
    truth = rng.integers(0, 5, pred.shape).astype(np.int32)
    joint = confusion(pred, truth, 5)
    assert joint.sum() == pred.size
    assert joint[3, 1] == ((truth == 3) & (pred == 1)).sum()


def test_reasons_of_undefined_values():
    empty, full = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)
    assert dice(empty, full, 2) == [Score(0.0, "pred_empty")]
    assert dice(full, empty, 2) == [Score(0.0, "gt_empty")]
    assert dice(empty, empty, 2) == [Score(None, "both_empty")]
    assert dice(full, full, 2) == [Score(1.0)]


def test_labels_outside_the_classes_and_other_shapes_are_refused():
    a = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"truth has labels outside 0\.\.1"):
        dice(a, a + 2, 2)
    with pytest.raises(ValueError, match=r"prediction has labels outside"):
        dice(a.astype(int) - 1, a, 2)
    with pytest.raises(ValueError, match="differ in shape"):
        dice(a, a[:1], 2)
