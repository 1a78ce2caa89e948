"""Claims checked against studies whose truth is known."""

import numpy as np
import pytest

from harness.analyse.claims import check_claims
from harness.analyse.contrast import task_scores
from harness.analyse.estimate import Estimate
from harness.analyse.intervals import two_way
from harness.schema.claims import ClaimEntry, StatedClaim, parse_claim

BUDGETS = ("5-shot", "100%")
MEANS = {"random": 0.4, "a": 0.6, "b": 0.6, "c": 0.8}


def stated(text, **entry):
    return StatedClaim(parse_claim(text), ClaimEntry(claim=text, **entry), "f:1")


@pytest.fixture
def check(study):
    """Check claims on two tasks and two budgets; 'c' loses little with few labels."""
    layout, stacked = study(
        MEANS, tasks=("t1", "t2"), budgets=BUDGETS, cases=25, seeds=4, sd=0.02,
        of_budget={"100%": 0.1},
    )  # fmt: skip
    for one in stacked.values():
        rows = layout.groups.loc[one.groups].reset_index(drop=True)
        poor = (rows.method != "c") & (rows.label_budget == "5-shot")
        one.scores.values[poor.to_numpy()] -= 0.2
    scored = task_scores(stacked)

    def source(metric, part):
        return (layout, scored) if (metric, part) == ("dice", None) else None

    def check(text, measure=None, **entry):
        (found,) = check_claims(
            [stated(text, **entry)], source, methods=list(MEANS), measure=measure
        )
        return found

    check.stacked, check.layout = stacked, layout
    return check


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("a > random on dice at 5-shot", "supported"),
        ("a < random on dice at 5-shot", "contradicted"),
        ("a > b on t1", "undecided"),
        ("c > *", "supported"),
        ("random > *", "contradicted"),
        ("c > a, b", "supported"),
        ("c > a > random", "supported"),
        ("a > c > random", "contradicted"),
        ("gap(c) < gap(*)", "supported"),
        ("gap_percent(c) < gap_percent(a)", "supported"),
        ("gain(c) > gain(a)", "supported"),
        ("gain_percent(a) > 20 at 100%", "supported"),
        ("mean(a, b) > random", "supported"),
        ("spread(*) at 5-shot > spread(*) at 100%", "supported"),
        ("spread(a, b) > spread(a, c)", "contradicted"),
        ("c at 5-shot > random at 100%", "supported"),
        ("random at 100% > c at 5-shot", "contradicted"),
        ("a > random + 0.1", "supported"),
        ("a > random + 0.5", "contradicted"),
        ("dice(c) > 0.7 at 100%", "supported"),
        ("0.7 > c at 100%", "contradicted"),
        ("c on t1 > random on t2", "supported"),
        ("a ~ a within 0.001", "supported"),
        ("c ~ random within 0.1", "contradicted"),
        ("a ~ b within 0.00001 on t1", "undecided"),
    ],
)
def test_verdicts(check, text, verdict):
    found = check(text)
    assert found.verdict == verdict, found
    assert found.sentence.startswith(verdict)


def test_a_difference_is_paired_within_tasks_and_pooled_over_them(check):
    found = check("c > a on dice at 100%")
    (step,) = found.steps
    values, variances = [], []
    for one in check.stacked.values():
        rows = check.layout.groups.loc[one.groups].reset_index(drop=True)
        full = rows.label_budget == "100%"
        c, a = (int(np.flatnonzero(full & (rows.method == m))[0]) for m in "ca")
        gap = two_way(one.scores.take([c]).minus(one.scores.take([a])))
        values.append(gap.mean[0])
        variances.append(gap.spread[0] ** 2)
    assert step.difference.value == pytest.approx(np.mean(values))
    assert step.difference.spread == pytest.approx(np.sqrt(sum(variances)) / 2)
    assert (step.blocks, step.wanted, step.held) == (2, 2, 2)
    assert step.left_value - step.right_value == pytest.approx(np.mean(values))


def test_several_budgets_of_a_task_are_not_taken_for_independent(check):
    one, two = check("c > b at 100%"), check("c > b")
    assert two.steps[0].blocks == 4
    assert two.steps[0].difference.spread > one.steps[0].difference.spread / np.sqrt(3)


def test_published_numbers_stand_beside_the_measured(check):
    found = check("c > a at 100%", published=0.2)
    assert (found.published, found.inside) == (0.2, True)
    assert found.measured == found.steps[0].difference
    far = check("c > a at 100%", published=0.5)
    assert far.inside is False
    percent = check("c > random at 100%", published=80, unit="percent")
    step = percent.steps[0]
    want = 100 * (step.left_value / step.right_value - 1)
    assert percent.measured.value == pytest.approx(want)
    assert percent.inside is True
    values = check("c > a > random at 100%", published={"c": 0.9, "random": 0.5})
    assert values.values["c"] == (0.9, pytest.approx(0.9, abs=0.05))
    assert values.inside is None


def test_what_is_not_measured_is_said(check):
    assert check("c > a on hd95").reason == "not measured: hd95"
    assert check("c > a on dice[liver]").reason == "not measured: dice[liver]"
    assert check("c > a on auc, dice").reason == (
        "2 metrics in one claim: state one claim for each"
    )
    gone = check("c > nobody")
    assert (gone.verdict, gone.reason) == (
        "undecided",
        "not measured: c against nobody",
    )
    assert check("steps(a) < steps(b)").reason == "not measured: steps(a)"
    assert "0 of" not in check("a, b, c, random > *").sentence
    assert check("a, b, c, random > *").reason == "there is no other method"


def test_other_quantities_come_from_a_measure(check):
    steps = {
        "a": Estimate(100, 90, 110, 5, 9, 0, 4),
        "b": Estimate(200, 180, 220, 9, 9, 0, 4),
    }

    def measure(quantity, method, side):
        return steps.get(method) if quantity == "steps" else None

    assert check("steps(a) < steps(b)", measure).verdict == "supported"
    assert check("steps(a) > steps(b) - 200", measure).verdict == "supported"
    assert check("steps(a) < 50", measure).verdict == "contradicted"
    assert check("steps(a) < steps(c)", measure).reason == "not measured: steps(c)"


def test_one_seed_still_decides_over_cases_and_one_case_does_not(study):
    layout, stacked = study({"random": 0.4, "a": 0.8}, seeds=1)
    scored = task_scores(stacked)
    (found,) = check_claims(
        [stated("a > random")], lambda *_: (layout, scored), methods=["a", "random"]
    )
    assert found.verdict == "supported"
    layout, stacked = study({"random": 0.4, "a": 0.8}, seeds=1, cases=1)
    scored = task_scores(stacked)
    (found,) = check_claims(
        [stated("a > random")], lambda *_: (layout, scored), methods=["a", "random"]
    )
    assert (found.verdict, found.reason) == ("undecided", "there is no interval")


def test_contradiction_of_many_needs_more_than_one_of_many(study):
    """Of 12 equal methods the best beats one named before by chance alone."""
    means = {"a": 0.5, **{f"m{i}": 0.5 for i in range(12)}}
    wrong = 0
    for seed in range(8):
        layout, stacked = study(means, cases=20, seeds=5, seed=seed)
        scored = task_scores(stacked)
        (found,) = check_claims(
            [stated("a > *")], lambda *_, at=(layout, scored): at, methods=list(means)
        )
        wrong += found.verdict == "contradicted"
        assert found.verdict != "supported"
    assert wrong <= 2
