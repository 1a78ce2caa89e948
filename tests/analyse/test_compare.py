"""Comparisons: pairs, families, what cannot be reached, and their numbers."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.analyse.compare import Comparison, corrected, pair_groups
from harness.analyse.compare_cases import case_tests, compare_cases
from harness.analyse.intervals import Scores, doubtful, t_test, two_way
from harness.analyse.multiplicity import adjust
from harness.analyse.power import detectable, needed
from harness.schema.errors import UserError
from harness.schema.style import style


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_corrections_equal_statsmodels(ours, theirs):
    p = np.random.default_rng(0).random(12) ** 3
    p[3] = p[5]
    found = adjust(p, np.ones(12, bool), ours)
    assert found == pytest.approx(multipletests(p, method=theirs)[1])


def test_undefined_p_values_do_not_enlarge_the_family():
    found = adjust(np.array([0.03, 1.0]), np.array([True, False]))
    assert found.tolist() == [0.03, 1.0]
    assert adjust(np.zeros(0), np.zeros(0, bool)).tolist() == []
    assert adjust(np.array([0.2]), np.array([True]), "none").tolist() == [0.2]


def test_pairs_with_a_baseline_prefer_its_encoder(study):
    layout, _ = study(
        {"random": 0.5, "a": 0.6, "b": 0.6},
        budgets=("5-shot", "100%"),
        encoder={"random": "swin", "a": "swin", "b": "vit"},
    )
    names = layout.groups.method
    pairs = [(names[x], names[y]) for x, y in pair_groups(layout, "random")]
    assert pairs == [("a", "random"), ("b", "random")] * 2
    assert pair_groups(layout) == pair_groups(layout, "random")
    assert len(pair_groups(layout, pairs="all")) == 6
    with pytest.raises(UserError, match=r"'randm' is not a method.*'random'\?"):
        pair_groups(layout, "randm")


def test_without_a_name_the_baseline_is_what_has_no_pretraining(study):
    encoders = {"random": "swin", "random_vit": "vit", "a": "swin", "b": "vit"}
    layout, _ = study(dict.fromkeys(encoders, 0.5), encoder=encoders)
    names = layout.groups.method
    pairs = [(names[x], names[y]) for x, y in pair_groups(layout)]
    assert pairs == [("a", "random"), ("b", "random_vit")]
    layout, _ = study(dict.fromkeys(("random", "random_grey", "a"), 0.5))
    names = layout.groups.method  # two of one encoder: the first of the file
    pairs = [(names[x], names[y]) for x, y in pair_groups(layout)]
    assert pairs == [("a", "random")]
    layout, _ = study({"a": 0.5, "b": 0.5})
    with pytest.raises(UserError, match=r"no baseline .*--baseline METHOD"):
        pair_groups(layout)


def test_numbers_of_a_comparison_are_those_of_its_parts(study):
    layout, stacked = study({"random": 0.5, "a": 0.65, "b": 0.5}, tasks=("t1", "t2"))
    found = compare_cases(stacked, layout, baseline="random")
    assert [(c.task, c.method) for c in found] == [
        ("t1", "a"), ("t1", "b"), ("t2", "a"), ("t2", "b"),
    ]  # fmt: skip
    first = found[0]
    values = stacked["t1"].scores.values.mean(axis=2)
    gap = values[1] - values[0]
    assert first.difference == pytest.approx(gap.mean())
    assert first.p == pytest.approx(stats.wilcoxon(gap).pvalue)
    want = multipletests([c.p for c in found], method="holm")[1]
    assert [c.adjusted for c in found] == pytest.approx(want)
    assert (first.n, first.unit, first.family_size) == (12, "patients", 4)
    assert first.effects["median_difference"].value == pytest.approx(np.median(gap))
    assert first.effects["improvement"].value == pytest.approx((gap > 0).mean())
    assert first.low < first.difference < first.high
    assert first.significant
    assert first.separable


def test_beside_each_test_stands_one_with_the_variance_of_seeds(study):
    """With few seeds that vary, Wilcoxon's test over cases finds what is not there."""
    layout, stacked = study({"random": 0.5, "a": 0.5}, cases=40, seeds=3, sd=0.001)
    scores = stacked["t1"].scores
    scores.values[1] += np.array([0.02, -0.01, 0.012])
    (found,) = compare_cases(stacked, layout, baseline="random")
    assert found.significant
    assert not found.confirmed
    assert not found.separable
    two = two_way(scores.take(np.array([1])).minus(scores.take(np.array([0]))))
    assert found.both_p == pytest.approx(t_test(two)[0][0])
    clear = study({"random": 0.3, "a": 0.8}, cases=40)
    assert compare_cases(clear[1], clear[0], baseline="random")[0].confirmed


def test_reordering_methods_or_dropping_a_task_changes_no_interval(study):
    layout, stacked = study({"random": 0.5, "a": 0.55}, tasks=("t1", "t2"))
    both = compare_cases(stacked, layout, baseline="random")
    alone = compare_cases({"t2": stacked["t2"]}, layout, baseline="random")
    assert both[1].effects == alone[1].effects
    assert alone[0].reason == "missing"
    assert alone[1].family_size == 1


def test_what_five_patients_cannot_reach_is_said(study):
    layout, stacked = study({"random": 0.5, "a": 0.9}, cases=5)
    (found,) = compare_cases(stacked, layout, baseline="random")
    assert (found.p, found.adjusted, found.reason) == (None, None, "cannot reach")
    assert found.sentence == "cannot reach 0.05 with n = 5"
    assert found.difference == pytest.approx(0.4, abs=0.1)


def test_a_family_can_put_alpha_out_of_reach(study):
    layout, stacked = study({"random": 0.5, "a": 0.9, "b": 0.9}, cases=6)
    one, two = compare_cases(stacked, layout, baseline="random")
    assert one.p == pytest.approx(0.03125)
    assert one.adjusted is None
    assert one.floor_adjusted == pytest.approx(0.0625)
    assert two.sentence == "cannot reach 0.05 with n = 6 in a family of 2"


def test_families_by_budget_are_smaller(study):
    layout, stacked = study({"random": 0.5, "a": 0.6}, budgets=("5-shot", "100%"))
    choices = style().model_copy(update={"family": "budget"})
    found = compare_cases(stacked, layout, baseline="random", choices=choices)
    assert [c.family for c in found] == ["finetune, 5-shot", "finetune, 100%"]
    assert {c.family_size for c in found} == {1}


@pytest.mark.parametrize(
    "test",
    ["wilcoxon", "paired-t", "sign-flip", "welch", "seed-permutation", "two-way"],
)
def test_all_tests_say_why_they_are_undefined(test):
    rng = np.random.default_rng(0)
    plain = Scores(rng.random((1, 8, 5)), np.ones((1, 8, 5), bool), np.arange(8))
    same = case_tests(plain, plain, test=test)
    assert same.reason == ("",) if test in ("welch", "seed-permutation") else (
        "no difference",
    )  # fmt: skip
    flat = Scores(np.full((1, 8, 5), 0.4), np.ones((1, 8, 5), bool), np.arange(8))
    assert case_tests(flat, flat, test=test).reason == ("no difference",)
    void = Scores(np.zeros((1, 8, 5)), np.zeros((1, 8, 5), bool), np.arange(8))
    assert case_tests(void, void, test=test).reason[0] in ("too few", "no difference")


def test_two_way_p_agrees_with_the_interval():
    rng = np.random.default_rng(1)
    shape = (200, 10, 4)
    one = Scores(rng.normal(0.3, 1, shape), np.ones(shape, bool), np.arange(10))
    two = Scores(np.zeros(shape), np.ones(shape, bool), np.arange(10))
    found = case_tests(one, two, test="two-way")
    intervals = two_way(one.minus(two))
    out = (intervals.low > 0) | (intervals.high < 0)
    assert ((found.p < 0.05) == out).all()


def test_lower_is_better_turns_improvement_round(study):
    layout, stacked = study({"random": 0.5, "a": 0.6})
    (up,) = compare_cases(stacked, layout, baseline="random")
    (down,) = compare_cases(stacked, layout, baseline="random", lower_is_better=True)
    assert down.effects["improvement"].value == pytest.approx(
        1 - up.effects["improvement"].value
    )
    assert down.difference == up.difference


def test_the_dino3d_style(study):
    chosen = style("dino3d")
    assert (chosen.correction, chosen.draws) == ("none", 1000)
    layout, stacked = study({"random": 0.5, "a": 0.52, "b": 0.5})
    found = compare_cases(stacked, layout, baseline="random", choices=chosen)
    assert all(c.adjusted == c.p for c in found)
    assert found[0].rule == 1
    with pytest.raises(UserError, match=r"'dino3' is not a style.*'dino3d'\?"):
        style("dino3")


def test_detectable_differences_are_found_four_times_in_five():
    rng = np.random.default_rng(2)
    runs, n, s = 3000, 20, 5
    noise = 0.05 * rng.normal(size=(runs, n, 1)) + 0.02 * rng.normal(size=(runs, 1, s))
    x = noise + 0.02 * rng.normal(size=(runs, n, s))
    some = Scores(x, np.ones(x.shape, bool), np.arange(n))
    truth = float(np.median(detectable(some)))
    found = two_way(Scores(x + truth, some.present, some.patient))
    assert 0.74 <= (found.low > 0).mean() <= 0.86


def test_needed_numbers():
    rng = np.random.default_rng(3)
    n, s = 20, 5
    x = 0.1 * rng.normal(size=(1, n, 1)) + 0.0001 * rng.normal(size=(1, n, s))
    x = x - x.mean() + 0.03
    some = Scores(x, np.ones(x.shape, bool), np.arange(n))
    (wanted,) = needed(some)
    assert wanted.seeds is None  # seeds do not vary, so more of them do not help
    reach = stats.t.ppf(0.975, 19) + stats.t.ppf(0.8, 19)
    sd = x[0].mean(axis=1).std(ddof=1)
    assert wanted.patients == pytest.approx((reach * sd / 0.03) ** 2, abs=1.5)
    none = Scores(np.zeros((1, 5, 3)), np.ones((1, 5, 3), bool), np.arange(5))
    assert needed(none)[0].patients is None


def test_missing_groups_stay_in_the_list_and_out_of_the_family(study):
    layout, stacked = study({"random": 0.5, "a": 0.6, "b": 0.6}, missing=[("b", "t1")])
    one, two = compare_cases(stacked, layout, baseline="random")
    assert two.reason == two.sentence == "missing"
    assert one.family_size == 1


def test_correction_of_nothing():
    assert corrected([], style()) == []
    assert Comparison.__doc__


def test_intervals_over_few_seeds_are_doubtful():
    rule, seeds = np.array([3, 3, 1, 2, 0]), np.array([3, 5, 1, 2, 1])
    assert doubtful(rule, seeds).tolist() == [True, False, False, True, False]
