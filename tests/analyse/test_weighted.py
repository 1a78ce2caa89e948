"""F1, sensitivity, specificity and thresholds against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from harness.analyse.classified import choose_thresholds, draw_groups
from harness.analyse.compare_runs import compare_runs
from harness.analyse.predictions import case_weights, draw, interval
from harness.analyse.scores import lay_out
from harness.analyse.weighted import youden
from harness.schema.errors import DataError


def example(classes, n=50, seeds=2):
    rng = np.random.default_rng(classes)
    y = np.append(np.arange(classes), rng.integers(0, classes, n - classes))
    scores = rng.dirichlet(np.ones(classes), (seeds, n))
    scores[:, np.arange(n), y] += 0.3
    return y, scores, rng


def slow_specificity(y, predicted, classes):
    each = [np.mean(predicted[y != k] != k) for k in range(classes)]
    return each[1] if classes == 2 else np.mean(each)


@pytest.mark.parametrize("classes", [2, 4])
def test_each_draw_equals_scikit_learn(classes):
    y, scores, rng = example(classes)
    weights = case_weights(y, np.arange(50), rng, draws=15)
    thresholds = [0.55, 0.7]
    found = {
        name: draw(name, y, scores, weights, patients=50, thresholds=thresholds)
        for name in ("f1", "sens", "spec")
    }
    for b in range(15):
        for s in range(2):
            index = np.repeat(np.arange(50), weights[b].astype(int))
            if classes == 2:
                predicted = (scores[s, index, 1] >= thresholds[s]).astype(int)
            else:
                predicted = scores[s, index].argmax(axis=1)
            truth = y[index]
            recall = recall_score(truth, predicted, average=None)
            want = {
                "f1": f1_score(truth, predicted, average="macro"),
                "sens": recall[1] if classes == 2 else recall.mean(),
                "spec": slow_specificity(truth, predicted, classes),
            }
            for name, value in want.items():
                assert found[name].drawn[b, s] == pytest.approx(value)


def test_auc_of_one_class():
    y, scores, rng = example(3)
    weights = case_weights(y, np.arange(50), rng, draws=5)
    found = draw("auc", y, scores, weights, patients=50, of_class=2)
    want = [roc_auc_score(y == 2, some[:, 2]) for some in scores]
    assert found.value == pytest.approx(want)


def test_without_a_threshold_or_a_class_there_is_no_value():
    y, scores, rng = example(2)
    weights = case_weights(y, np.arange(50), rng, draws=5)
    missing = draw("sens", y, scores, weights, patients=50, thresholds=[0.5, None])
    assert interval(missing, rng) is None
    one = np.zeros(50, int)
    weights = case_weights(one, np.arange(50), rng, draws=5)
    for name in ("f1", "spec"):
        absent = draw(name, one, scores, weights, patients=50, thresholds=[0.5, 0.5])
        assert interval(absent, rng) is None


def test_youden_is_the_best_cut_of_validation():
    y = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.2, 0.6, 0.5, 0.8, 0.9])
    cut = youden(y, np.stack([1 - scores, scores], axis=1))
    assert cut in (pytest.approx(0.35), pytest.approx(0.7))
    assert youden(np.zeros(4, int), np.full((4, 2), 0.5)) is None
    flat = youden(y, np.full((6, 2), 0.5))
    assert flat == 0.5


def runs(methods, n=60, seeds=4, better=0.0):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    cells, rows = [], []
    for method in methods:
        for seed in range(seeds):
            cell = len(cells)
            cells.append(
                {
                    "method": method, "encoder": "swin", "task": "t",
                    "protocol": "linear_probe", "label_budget": "100%", "fold": 0,
                    "seed": seed, "subset_seed": 0, "pretraining_seed": None,
                    "pretraining_key": None, "evaluate_key": str(cell), "state": "done",
                }
            )  # fmt: skip
            shift = 1 + better * (method == "a")
            logit = shift * y + rng.normal(0, 1, n)
            for case in range(n):
                score = 1 / (1 + np.exp(-logit[case]))
                rows.append((cell, f"c{case}", f"c{case}", y[case], [1 - score, score]))
    columns = ["cell", "case_id", "group_id", "y_true", "scores"]
    return lay_out(pd.DataFrame(cells)), pd.DataFrame(rows, columns=columns)


def test_runs_are_compared_over_seeds_with_a_paired_interval():
    layout, rows = runs(["random", "a"], better=2.0)
    drawn = draw_groups(rows, layout, "auc", kappa_weights={}, draws=200)
    (found,) = compare_runs(drawn, layout, baseline="random")
    assert (found.test, found.unit, found.n) == ("welch", "seeds", 4)
    assert found.significant
    assert found.separable
    assert found.effects["cliffs_delta"].value == 1.0
    values = [drawn["t"].draws[g].value.mean() for g in (1, 0)]
    assert found.difference == pytest.approx(values[0] - values[1])


def test_thresholds_come_from_validation_and_reach_the_statistic():
    layout, rows = runs(["a"], seeds=2)
    cuts = choose_thresholds(rows.assign(y_true=1 - rows.y_true))
    assert set(cuts) == {0, 1}
    with_them = draw_groups(
        rows, layout, "sens", kappa_weights={}, thresholds=cuts, draws=20
    )["t"]
    mine = rows[rows.cell == 0]
    positive = mine[mine.y_true == 1]
    want = np.mean([s[1] >= cuts[0] for s in positive.scores])
    assert with_them.draws[0].value[0] == pytest.approx(want)
    without = draw_groups(rows, layout, "sens", kappa_weights={}, draws=20)["t"]
    assert without.interval(0, level=0.95) is None


def test_scores_that_are_not_finite_are_refused_by_name():
    layout, rows = runs(["a"], seeds=1, n=5)
    rows.at[3, "scores"] = [float("nan"), 0.5]
    with pytest.raises(DataError, match="task t: a score of case c3 is not finite"):
        draw_groups(rows, layout, "auc", kappa_weights={}, draws=5)


def test_plain_percentiles_over_seeds():
    layout, rows = runs(["a"], seeds=3)
    drawn = draw_groups(rows, layout, "auc", kappa_weights={}, draws=300)["t"]
    from harness.schema.style import style

    found = drawn.interval(0, level=0.95, choice=style("dino3d").of_runs)
    values = drawn.draws[0].value
    assert values.min() <= found.low[0] < found.high[0] <= values.max()
    wide = drawn.interval(0, level=0.95)
    assert wide.high[0] - wide.low[0] > found.high[0] - found.low[0]
