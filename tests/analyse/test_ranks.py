"""Rankings over tasks against scipy and plain loops."""

import numpy as np
import pytest
from scipy import stats

from harness.analyse.blocks import Blocks, blocks_of_cases, blocks_of_runs, complete
from harness.analyse.classified import Drawn
from harness.analyse.friedman import _cliques, critical_difference, friedman
from harness.analyse.iqm import interquartile_means, middle_means
from harness.analyse.predictions import Draws
from harness.analyse.ranks import kendall, ranked, ranking
from harness.schema.errors import UserError

TASKS = ("t1", "t2", "t3", "t4", "t5", "t6")


def test_ranks_equal_scipy_with_ties():
    values = np.round(np.random.default_rng(0).normal(size=(30, 5)), 0)
    assert ranked(values) == pytest.approx(stats.rankdata(values, axis=1))


def test_kendall_equals_scipy_with_ties():
    rng = np.random.default_rng(1)
    one, two = np.round(rng.normal(size=(2, 20, 6)), 0)
    found = kendall(one, two)
    for row in range(20):
        want = stats.kendalltau(one[row], two[row]).statistic
        assert found[row] == pytest.approx(np.nan_to_num(want))


def test_friedman_equals_scipy():
    values = np.round(np.random.default_rng(2).normal(size=(9, 4)), 1)
    chi2_p, f_p = friedman(ranked(values))
    assert chi2_p == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    ranks = ranked(values)
    chi2 = stats.friedmanchisquare(*values.T).statistic
    f = 8 * chi2 / (9 * 3 - chi2)
    assert f_p == pytest.approx(stats.f.sf(f, 3, 24))
    assert friedman(np.full((5, 3), 2.0)) == (1.0, 1.0)
    assert friedman(np.tile([1.0, 2, 3], (5, 1)))[1] == 0.0
    assert ranks.sum() == 90


def test_a_clear_order_is_ranked_surely(study):
    layout, stacked = study({"random": 0.2, "a": 0.8, "b": 0.5}, tasks=TASKS[:3])
    found = ranking(complete(blocks_of_cases(stacked, layout, draws=200)))
    assert [name for name, _ in found.methods] == ["random", "a", "b"]
    assert found.rank.tolist() == [3, 1, 2]
    assert found.place.tolist() == [3, 1, 2]
    assert found.low.tolist() == found.high.tolist() == [3, 1, 2]
    assert found.tau == (1.0, 1.0)
    assert found.share[0].tolist() == [0, 0, 1]
    assert found.wins[1].tolist() == [1, 0.5, 1]
    down = blocks_of_cases(stacked, layout, lower_is_better=True, draws=50)
    assert ranking(complete(down)).rank.tolist() == [1, 3, 2]


def test_equal_methods_are_ranked_with_doubt(study):
    layout, stacked = study({"random": 0.5, "a": 0.5, "b": 0.5}, tasks=TASKS[:3])
    found = ranking(complete(blocks_of_cases(stacked, layout, draws=400)))
    assert found.tau[0] < 0.8
    assert (found.low <= found.rank).all()
    assert (found.high >= found.rank).all()
    assert found.high[0] - found.low[0] > 0.5
    assert found.share.sum(axis=1) == pytest.approx(1)


def test_all_ties_share_a_rank(study):
    layout, stacked = study({"random": 0.5, "a": 0.5}, tasks=TASKS[:2])
    for one in stacked.values():
        one.scores.values[:] = 0.7
    found = ranking(complete(blocks_of_cases(stacked, layout, draws=20)))
    assert found.rank.tolist() == [1.5, 1.5]
    assert found.place.tolist() == [1, 1]
    assert found.wins.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert found.tau == (0.0, 0.0)


def test_missing_results_are_refused_or_named(study):
    layout, stacked = study(
        {"random": 0.5, "a": 0.6, "b": 0.7}, tasks=TASKS[:3],
        missing=[("a", "t2"), ("b", "t1"), ("b", "t2"), ("b", "t3")],
    )  # fmt: skip
    blocks = blocks_of_cases(stacked, layout, draws=20)
    with pytest.raises(UserError, match=r"4 of 9 .*--allow-incomplete"):
        complete(blocks)
    found = ranking(complete(blocks, allow_incomplete=True))
    assert [task for task, _, _ in found.blocks] == ["t1", "t3"]
    assert [name for name, _ in found.methods] == ["random", "a"]
    assert found.left_out[0] == "b is left out: it has no score"
    assert "t2, finetune, 100% is left out" in found.left_out[1]


def test_nothing_to_rank(study):
    layout, stacked = study(
        {"random": 0.5, "a": 0.6}, tasks=TASKS[:2],
        missing=[("a", "t1"), ("random", "t2")],
    )  # fmt: skip
    with pytest.raises(UserError, match="no task has a score of every method"):
        complete(blocks_of_cases(stacked, layout, draws=20), allow_incomplete=True)
    layout, stacked = study({"a": 0.5}, missing=[("a", "t1")])
    with pytest.raises(UserError, match="1 of 1"):
        complete(blocks_of_cases(stacked, layout, draws=20), allow_incomplete=True)


def test_runs_make_blocks_too(study):
    layout, _ = study({"random": 0.5, "a": 0.6}, tasks=("t1",))
    rng = np.random.default_rng(3)
    of_group = {
        g: Draws(np.array([v] * 3), v + 0.01 * rng.normal(size=(40, 3)),
                 np.ones(40, bool), 9, 9)
        for g, v in ((0, 0.6), (1, 0.8))
    }  # fmt: skip
    drawn = {"t1": Drawn(of_group, {}, (9, 9), 0)}
    blocks = complete(blocks_of_runs(drawn, layout, draws=40))
    assert blocks.value.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert ranking(blocks).rank.tolist() == [2, 1]


def test_critical_differences(study):
    layout, stacked = study(
        {"random": 0.2, "a": 0.8, "b": 0.8, "c": 0.5}, tasks=[f"t{i}" for i in range(9)]
    )
    blocks = complete(blocks_of_cases(stacked, layout, draws=10))
    found = critical_difference(blocks)
    assert {name for name, _ in found.methods[:2]} == {"a", "b"}
    assert found.p < 0.001
    assert found.cliques == ((0, 1),)
    assert found.reachable
    # Demsar (JMLR 7, 2006), table 5: q(0.05) of four methods is 2.569
    assert found.nemenyi == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 9)), abs=1e-3)


def test_five_tasks_cannot_separate_a_pair(study):
    layout, stacked = study({"random": 0.2, "a": 0.8, "b": 0.5}, tasks=TASKS[:5])
    found = critical_difference(complete(blocks_of_cases(stacked, layout, draws=10)))
    assert not found.reachable
    assert found.cliques == ((0, 2),)
    few = study({"random": 0.2, "a": 0.8, "b": 0.5}, tasks=TASKS[:4])
    with pytest.raises(UserError, match="5 tasks and 3 methods or more; here are 4"):
        critical_difference(complete(blocks_of_cases(few[1], few[0], draws=10)))


def test_budgets_of_a_task_are_one_block_of_the_test(study):
    layout, stacked = study(
        {"random": 0.2, "a": 0.8}, tasks=TASKS[:2], budgets=("5-shot", "100%"),
        of_budget={"100%": 0.1},
    )  # fmt: skip
    blocks = blocks_of_cases(stacked, layout, draws=10)
    assert len(blocks.blocks) == 4
    joined = blocks.by_task()
    assert joined.value[0] == pytest.approx(blocks.value[:2].mean(axis=0))
    assert len(blocks.where(budget="5-shot").blocks) == 2


def test_cliques_are_the_longest_runs():
    alike = np.eye(5, dtype=bool)
    for one, two in [(0, 1), (1, 2), (3, 4), (2, 3), (2, 4)]:
        alike[one, two] = alike[two, one] = True
    assert _cliques(alike) == ((0, 1), (1, 2), (2, 4))


def test_middle_means_equal_scipys_trimmed_mean():
    rng = np.random.default_rng(4)
    values, counts = (
        rng.normal(size=(10, 13)),
        rng.integers(0, 4, (10, 13)).astype(float),
    )
    found = middle_means(values, counts)
    for row in range(10):
        long = np.repeat(values[row], counts[row].astype(int))
        assert found[row] == pytest.approx(stats.trim_mean(long, 0.25))
    assert middle_means(values, np.zeros((10, 13))).tolist() == [0.0] * 10


def test_interquartile_means(study):
    layout, stacked = study(
        {"random": 0.5, "a": 0.6}, tasks=TASKS[:4], missing=[("a", "t4")]
    )
    one, two = interquartile_means(stacked, layout, draws=100)
    assert (one.method, one.tasks, one.runs) == ("random", TASKS[:3], 9)
    runs = np.concatenate([stacked[t].scores.values[1].mean(axis=0) for t in TASKS[:3]])
    assert two.value == pytest.approx(stats.trim_mean(runs, 0.25))
    assert two.low < two.value < two.high
    with pytest.raises(UserError, match="which hd95 does not allow"):
        interquartile_means(stacked, layout, metric="hd95")


def test_by_task_of_nothing():
    empty = Blocks((), (), np.zeros((0, 2)), np.zeros((0, 2), bool),
                   np.zeros((4, 0, 2)), np.zeros((0, 2), bool))  # fmt: skip
    assert empty.by_task().value.shape == (0, 2)
