"""Weighted AUC and kappa against scikit-learn on resampled lists."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from harness.analyse import weighted
from harness.analyse.intervals import BOTH, CASES
from harness.analyse.predictions import Draws, case_weights, draw, interval


def example(classes, seeds=2, n=60, ties=False):
    rng = np.random.default_rng(classes)
    y = np.append(np.arange(classes), rng.integers(0, classes, n - classes))
    scores = rng.dirichlet(np.ones(classes), (seeds, n))
    scores[:, np.arange(n), y] += 0.3
    return y, np.round(scores, 1) if ties else scores, rng


def resampled(y, scores, weights):
    index = np.repeat(np.arange(len(y)), weights.astype(int))
    return y[index], scores[index]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("way", ["dense", "sorted"])
def test_auc_of_each_draw_equals_scikit_learn(classes, way, monkeypatch):
    monkeypatch.setattr(weighted, "_DENSE", 10**9 if way == "dense" else -1)
    y, scores, rng = example(classes, ties=True)
    weights = case_weights(y, np.arange(60), rng, draws=20)
    found = draw("auc", y, scores, weights, patients=60)
    assert found.usable.all()
    for b in range(20):
        for s in range(2):
            labels, some = resampled(y, scores[s], weights[b])
            want = np.mean(
                [
                    roc_auc_score(labels == k, some[:, k])
                    for k in ([1] if classes == 2 else range(classes))
                ]
            )
            assert found.drawn[b, s] == pytest.approx(want)


@pytest.mark.parametrize("kind", ["unweighted", "quadratic"])
def test_kappa_of_each_draw_equals_scikit_learn(kind):
    y, scores, rng = example(4)
    weights = case_weights(y, np.arange(60), rng, draws=20)
    found = draw("kappa", y, scores, weights, patients=60, kappa_weights=kind)
    for b in range(20):
        labels, some = resampled(y, scores[1], weights[b])
        want = cohen_kappa_score(
            labels, some.argmax(1), weights=None if kind == "unweighted" else kind
        )
        assert found.drawn[b, 1] == pytest.approx(want)


def test_draws_that_miss_a_class_are_redrawn_within_classes():
    y = np.array([0] * 19 + [1])
    weights = case_weights(y, np.arange(20), np.random.default_rng(0), draws=500)
    assert (weights[:, 19] > 0).all()
    assert (weights.sum(axis=1) == 20).all()


def test_patients_are_drawn_whole():
    y = np.tile([0, 1], 10)
    patient = np.repeat(np.arange(10), 2)
    weights = case_weights(y, patient, np.random.default_rng(0), draws=50)
    assert (weights[:, ::2] == weights[:, 1::2]).all()


def test_undefined_and_constant_scores():
    rng = np.random.default_rng(0)
    one = np.zeros(10, int)
    weights = case_weights(one, np.arange(10), rng, draws=50)
    flat = np.full((2, 10, 2), 0.5)
    assert interval(draw("auc", one, flat, weights, patients=10), rng) is None
    assert interval(draw("kappa", one, flat, weights, patients=10), rng) is None
    y = np.tile([0, 1], 5)
    found = interval(draw("auc", y, flat, weights, patients=10), rng)
    assert (found.mean[0], found.low[0], found.high[0]) == (0.5, 0.5, 0.5)


def test_few_seeds_widen_and_one_seed_is_over_cases_only():
    y, scores, rng = example(2, seeds=5, n=100)
    weights = case_weights(y, np.arange(100), rng, draws=400)
    drawn = draw("auc", y, scores, weights, patients=100)
    five = interval(drawn, np.random.default_rng(1))
    two = interval(drawn.by_column(np.array([0, 0, 0, 1, 1])), np.random.default_rng(1))
    one = interval(drawn.by_column(np.zeros(5, int)), np.random.default_rng(1))
    assert (five.rule[0], two.rule[0], one.rule[0]) == (BOTH, BOTH, CASES)
    assert five.mean[0] == pytest.approx(one.mean[0])
    assert two.seeds[0] == 2
    assert five.low[0] < five.mean[0] < five.high[0]


def test_by_column_averages_cells():
    drawn = Draws(
        np.array([1.0, 2, 6]), np.array([[1.0, 2, 6]]), np.ones(1, bool), 4, 4
    )
    found = drawn.by_column(np.array([1, 0, 1]))
    assert found.value.tolist() == [2, 3.5]
    assert found.drawn.tolist() == [[2, 3.5]]


def test_differences_are_paired_by_case_and_seed():
    y, scores, rng = example(2, seeds=3, n=100)
    weights = case_weights(y, np.arange(100), rng, draws=200)
    one = draw("auc", y, scores, weights, patients=100)
    two = one.take(np.array([0, 2]))
    gap = two.plus(two.times(-1.0))
    found = interval(gap, rng)
    assert (found.mean[0], found.low[0], found.high[0]) == (0, 0, 0)
    assert found.seeds[0] == 2
