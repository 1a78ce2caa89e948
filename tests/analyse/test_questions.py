"""The papers' questions on studies whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from harness.analyse.contrast import CaseScores, RunScores, relative, task_scores
from harness.analyse.convergence import convergence, run_curves
from harness.analyse.cost import costs
from harness.analyse.estimate import Estimate, weighted_sum
from harness.analyse.intervals import two_way
from harness.analyse.questions import (
    gains,
    gaps,
    label_efficiency,
    mean_gaps,
)
from harness.analyse.resample import Resample
from harness.analyse.trends import trends
from harness.schema.errors import UserError

BUDGETS = ("5-shot", "50%", "100%")


@pytest.fixture
def labels(study):
    """Two methods and a baseline; the first needs few labels, the others many."""
    layout, stacked = study(
        {"random": 0.4, "a": 0.7, "b": 0.5}, tasks=("t1", "t2"), budgets=BUDGETS,
        of_budget={"5-shot": 0.0, "50%": 0.1, "100%": 0.2}, cases=20, seeds=4, sd=0.02,
    )  # fmt: skip
    return layout, stacked, task_scores(stacked)


def test_contrasts_are_the_intervals_of_differences(labels):
    _, stacked, scored = labels
    apart = scored["t1"].contrast({1: 1.0, 0: -1.0})
    scores = stacked["t1"].scores
    want = two_way(scores.take(np.array([1])).minus(scores.take(np.array([0]))))
    assert (apart.value, apart.low) == pytest.approx((want.mean[0], want.low[0]))
    assert scored["t1"].contrast({}) is None
    assert scored["t1"].contrast({0: 1.0, 99: 1.0}) is None
    assert scored["t1"].value(99) is None


def test_gaps_in_points_and_percent(labels):
    layout, _, scored = labels
    found = gaps(layout, scored)
    assert len(found) == 2 * 3 * 2
    first = found[0]
    assert (first.many, first.few, first.place.method) == ("100%", "5-shot", "random")
    groups = layout.groups.reset_index()
    mine = groups[(groups.task == "t1") & (groups.method == "random")]
    value = {
        row.label_budget: scored["t1"].value(row.group) for row in mine.itertuples()
    }
    points = value["100%"] - value["5-shot"]
    assert first.points.value == pytest.approx(points)
    assert first.percent.value == pytest.approx(100 * points / value["100%"])
    assert first.percent.low < first.percent.value < first.percent.high


def test_mean_gaps_are_over_tasks_that_all_methods_have(study):
    layout, stacked = study(
        {"random": 0.4, "a": 0.6}, tasks=("t1", "t2"), budgets=("5-shot", "100%"),
        missing=[("a", "t2")], of_budget={"100%": 0.2},
    )  # fmt: skip
    found = gaps(layout, task_scores(stacked))
    means = mean_gaps(found)
    assert len(found) == 3
    assert [m.place.method for m in means] == ["random", "a"]
    assert means[0].points.value == pytest.approx(found[0].points.value)
    assert means[0].place.task == "*"


def test_percent_intervals_agree_with_resampling(labels):
    _, stacked, scored = labels
    found = relative(scored["t1"], 1, 0)
    draws = Resample.draw(
        np.arange(20), 4, np.random.default_rng(0), draws=4000, over="cases"
    )
    means, _ = draws.means(stacked["t1"].scores)
    ratios = 100 * (means[:, 1] / means[:, 0] - 1)
    one_way = relative(CaseScores(stacked["t1"]), 1, 0)
    assert one_way == found
    assert found.value == pytest.approx(ratios.mean(), abs=0.5)
    assert found.spread >= 0.8 * ratios.std()


def test_gains_are_over_the_baseline_of_the_same_encoder(study):
    encoders = {"random": "swin", "random_vit": "vit", "a": "swin", "b": "vit"}
    means = {"random": 0.4, "random_vit": 0.5, "a": 0.6, "b": 0.6}
    layout, stacked = study(means, encoder=encoders)
    found = gains(layout, task_scores(stacked))
    assert [(g.place.method, g.baseline) for g in found] == [
        ("a", "random"), ("b", "random_vit"),
    ]  # fmt: skip
    assert found[0].points.value == pytest.approx(0.2, abs=0.05)
    assert found[0].percent.value > found[1].percent.value


def test_label_efficiency(labels):
    layout, _, scored = labels
    found = label_efficiency(layout, scored, target="b")
    mine = next(e for e in found if (e.place.task, e.place.method) == ("t1", "a"))
    assert (mine.target_budget, mine.budget) == ("100%", "50%")
    assert mine.surely == "50%"
    theirs = next(e for e in found if e.place.method == "random")
    assert (theirs.budget, theirs.surely) == (None, None)
    assert list(theirs.differences) == list(BUDGETS)
    assert len(label_efficiency(layout, scored)) == 2 * 3 * 2
    with pytest.raises(UserError, match="'c' is not a method here"):
        label_efficiency(layout, scored, target="c")


def test_trends_over_sizes(study):
    layout, stacked = study(
        {"random": 0.4, "small": 0.5, "middle": 0.55, "big": 0.6}, cases=30, sd=0.01
    )
    scored = task_scores(stacked)
    (found,) = trends(layout, scored, {"big": 400, "small": 100, "middle": 200})
    assert (found.family, found.methods) == ("", ("small", "middle", "big"))
    assert found.per_doubling.value == pytest.approx(0.05, abs=0.02)
    slope = np.polyfit(np.log2(found.sizes), found.scores, 1)[0]
    assert found.per_doubling.value == pytest.approx(slope)
    assert trends(layout, scored, {"big": 400}) == []
    assert trends(layout, scored, {"big": 400, "small": 400}) == []
    with pytest.raises(ValueError, match="above 0"):
        trends(layout, scored, {"big": 0})


def test_trends_of_families_stand_apart(study):
    level = {"a.10pct": 0.5, "a": 0.6, "b.10pct": 0.9, "b": 0.8, "alone": 0.1}
    layout, stacked = study(level, cases=30, sd=0.01)
    sizes = {name: 10.0 if "10pct" in name else 80.0 for name in level}
    family = {name: name.partition(".")[0] for name in level}
    found = trends(layout, task_scores(stacked), sizes, family)
    slopes = {one.family: one.per_doubling.value for one in found}
    assert slopes == pytest.approx({"a": 0.1 / 3, "b": -0.1 / 3}, abs=0.01)
    assert {one.methods for one in found} == {("a.10pct", "a"), ("b.10pct", "b")}
    del family["a"]
    found = trends(layout, task_scores(stacked), sizes, family)
    assert [one.family for one in found] == ["b"]


def test_independent_estimates_add_their_variances():
    one = Estimate(1.0, 0.0, 2.0, 0.5, 8.0, 10, 3)
    two = Estimate(3.0, 2.0, 4.0, 0.5, 8.0, 20, 4)
    found = weighted_sum([one, two], [0.5, 0.5])
    assert (found.value, found.freedom, found.cases, found.seeds) == (2, 16, 30, 3)
    assert found.spread == pytest.approx(0.5 / np.sqrt(2))
    bare = Estimate(1.0, None, None, 0.0, 1.0, 1, 1)
    assert weighted_sum([one, bare], [1.0, -1.0]).low is None
    assert one.times(-2.0).low == -4.0
    assert bare.times(-1.0).low is None


def test_runs_answer_the_same_questions():
    from harness.analyse.classified import Drawn
    from harness.analyse.predictions import Draws

    rng = np.random.default_rng(0)
    shared = 0.02 * rng.normal(size=(300, 1))
    draws = {
        g: Draws(np.array([v] * 3) + 0.001 * rng.normal(size=3),
                 v + shared + 0.001 * rng.normal(size=(300, 3)),
                 np.ones(300, bool), 50, 50)
        for g, v in ((0, 0.6), (1, 0.8))
    }  # fmt: skip
    columns = {0: np.array([0, 1, 2]), 1: np.array([1, 2, 5])}
    scores = RunScores(Drawn(draws, columns, (50, 50), 0))
    apart = scores.contrast({1: 1.0, 0: -1.0})
    assert apart.seeds == 2
    assert apart.value == pytest.approx(0.2, abs=0.01)
    assert apart.high - apart.low < 0.03 < scores.contrast({0: 1.0}).spread * 4
    assert scores.contrast({0: 1.0, 7: 1.0}) is None
    columns[1] = np.array([7, 8, 9])
    assert scores.contrast({1: 1.0, 0: -1.0}) is None


def curves_of(layout, speed, *, steps=10, top=0.8):
    rows = []
    for cell, row in enumerate(layout.cells.itertuples()):
        for k in range(1, steps + 1):
            value = top * (1 - np.exp(-k * speed[row.method]))
            rows.append((cell, 100 * k, 36.0 * k, value))
    return pd.DataFrame(rows, columns=["cell", "step", "wall_s", "value"])


def test_convergence_finds_the_first_step_and_censors(study):
    layout, _ = study({"random": 0.5, "a": 0.5}, tasks=("t1",))
    curves = curves_of(layout, {"random": 0.05, "a": 1.0})
    slow, fast = convergence(curves, layout, share=0.9)
    smooth = run_curves(curves)
    best = smooth[smooth.cell == 3].value.iloc[-1]
    assert fast.target == pytest.approx(0.9 * best)
    own = smooth[smooth.cell == 3]
    want = own[own.value >= fast.target].step.iloc[0]
    assert (fast.step, fast.reached, fast.runs) == (want, 3, 3)
    assert fast.hours == pytest.approx(want / 100 * 0.01)
    assert (slow.step, slow.step_low, slow.hours, slow.reached) == (None, None, None, 0)
    assert (slow.rank, fast.rank) == (2.0, 1.0)
    assert 0 < slow.area < fast.area < 0.8


def test_smoothing_is_a_trailing_mean_of_five(study):
    layout, _ = study({"a": 0.5}, seeds=1)
    curves = pd.DataFrame(
        {"cell": 0, "step": range(1, 9), "wall_s": None, "value": np.arange(8.0)}
    )
    curves.loc[3, "value"] = np.nan
    found = run_curves(curves).value.tolist()
    assert found[-1] == pytest.approx(np.mean([2, 4, 5, 6, 7]))
    (alone,) = convergence(curves, layout)
    assert (alone.rank, alone.hours) == (None, None)


def test_costs_per_point(study):
    layout, stacked = study({"random": 0.4, "a": 0.6, "b": 0.39}, cases=30)
    hours = {0: 1.0, 1: 11.0, 2: 5.0}
    one, two = costs(layout, task_scores(stacked), hours)
    assert one.per_point == pytest.approx(10 / one.points)
    assert one.points == pytest.approx(20, abs=3)
    assert one.frontier
    assert (two.per_point, two.frontier) == (None, False)
    assert costs(layout, task_scores(stacked), {0: 1.0}) == []
