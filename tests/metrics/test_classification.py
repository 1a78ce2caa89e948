"""AUC and kappa against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from harness.metrics.classification import auc, kappa
from harness.schema.scores import Score


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6), ties=st.booleans())
def test_auc_equals_scikit_learn(seed, classes, ties):
    rng = np.random.default_rng(seed)
    extra = int(rng.integers(1, 60))
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, extra)])
    scores = rng.dirichlet(np.ones(classes), len(y))
    if ties:
        scores = np.round(scores * 4 + 1)
        scores /= scores.sum(1, keepdims=True)
    if classes == 2:
        want = roc_auc_score(y, scores[:, 1])
    else:
        want = roc_auc_score(y, scores, multi_class="ovr", average="macro")
    assert auc(y, scores).value == pytest.approx(want, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 20),
    weights=st.sampled_from(["unweighted", "quadratic"]),
)
def test_kappa_equals_scikit_learn(seed, classes, weights):
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(0, classes, 50), [0, 1]).astype(np.uint8)
    pred = np.where(rng.random(52) < 0.5, y, rng.integers(0, classes, 52))
    want = cohen_kappa_score(
        y, pred, weights=None if weights == "unweighted" else weights,
        labels=range(classes),
    )  # fmt: skip
    assert kappa(y, pred, classes, weights).value == pytest.approx(want, abs=1e-12)


def test_undefined_values_have_a_reason():
    one = np.zeros(4, int)
    even = np.full((4, 2), 0.5)
    assert auc(one, even) == Score(None, "class_absent")
    assert auc(np.array([0, 1, 0]), np.full((3, 3), 0.3)) == Score(None, "class_absent")
    assert auc(np.zeros(0, int), np.zeros((0, 2))) == Score(None, "class_absent")
    assert kappa(one, one, 2) == Score(None, "class_absent")
    assert kappa(one, one + 1, 2) == Score(0.0)


def test_constant_scores_are_chance():
    y = np.array([0, 1, 0, 1, 1])
    assert auc(y, np.full((5, 2), 0.5)) == Score(0.5)
    assert kappa(y, np.zeros(5, int), 2) == Score(0.0)


def test_bad_input_is_refused():
    y = np.array([0, 1])
    with pytest.raises(ValueError, match="finite"):
        auc(y, np.array([[0.1, np.nan], [0.2, 0.8]]))
    with pytest.raises(ValueError, match="shape"):
        auc(y, np.zeros(2))
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        auc(np.array([0, 2]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        kappa(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="one shape"):
        kappa(y, y[:1], 2)
