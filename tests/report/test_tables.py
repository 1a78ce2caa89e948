"""What a table says, and what it refuses to say."""

import numpy as np
import pandas as pd
import pytest

from harness.report.captions import ONE_PRETRAINING
from harness.report.tables import auc_per_class, build, per_structure
from harness.schema.errors import DataError, UserError


@pytest.fixture
def tasks(make_spec):
    return {"organs": make_spec(), "nodules": make_spec("classification")}


def of(table, method, budget):
    (found,) = [e for e in table.entries if (e.method, e.budget) == (method, budget)]
    return found


def test_means_counts_and_the_best(make_table, make_cells, make_reader, tasks):
    table = make_table("dice", make_cells(), make_reader(), tasks)
    best, other = of(table, "mae", "100%"), of(table, "random", "100%")
    assert best.mean - other.mean == pytest.approx(0.05, abs=0.01)
    assert best.low < best.mean < best.high
    assert (best.rule, best.cases, best.seeds) == ("cases and seeds", 20, 3)
    assert (best.misses, best.false_alarms) == (3, 6)
    assert (best.best, other.best) == (True, False)
    assert [e.budget for e in table.entries] == ["5-shot"] * 2 + ["100%"] * 2
    assert best.encoder == "swin"


def test_the_lowest_distance_is_best(make_table, make_cells, make_reader, tasks):
    reader = make_reader()
    table = make_table("hd95", make_cells(), reader, tasks)
    assert of(table, "random", "100%").best
    assert not of(table, "mae", "100%").best
    assert reader.charges[0]["pred_empty"] == "diagonal"
    assert any("image's diagonal" in note for note in table.notes)
    make_table("hd95", make_cells(), reader, tasks, undefined={"hd95": "exclude"})
    assert reader.charges[1]["pred_empty"] is None


def test_no_best_without_an_interval_or_with_a_missing_cell(
    make_table, make_cells, make_reader, tasks
):
    alone = make_table("dice", make_cells(seeds=(0,)), make_reader(cases=1), tasks)
    assert [e.rule for e in alone.entries] == ["none"] * 4
    assert not any(e.best or e.low is not None for e in alone.entries)
    cells = make_cells()
    cells.loc[cells.evaluate_key == "mae/organs/5-shot/1", "state"] = "failed"
    table = make_table("dice", cells, make_reader(), tasks)
    assert of(table, "mae", "5-shot").missing == 1
    assert of(table, "mae", "5-shot").mean is not None
    assert not any(e.best for e in table.entries if e.budget == "5-shot")
    assert of(table, "mae", "100%").best
    assert any("1 of 12 cells missing" in note for note in table.notes)


def test_a_group_without_any_cell_is_shown_as_missing(
    make_table, make_cells, make_reader, tasks
):
    cells = make_cells()
    cells.loc[cells.method == "mae", "state"] = "todo"
    table = make_table("dice", cells, make_reader(), tasks)
    entry = of(table, "mae", "100%")
    assert (entry.mean, entry.missing, entry.planned) == (None, 3, 3)
    assert not any(e.best for e in table.entries)


def test_captions_say_what_intervals_leave_out(
    make_table, make_cells, make_reader, tasks
):
    notes = make_table("dice", make_cells(), make_reader(), tasks).notes
    assert ONE_PRETRAINING in notes
    assert any(note.startswith("!: with so few seeds") for note in notes)
    paired = make_cells(methods=("mae",))
    paired["pretraining_seed"] = paired.seed
    paired["pretraining_key"] = "p" + paired.seed.astype(str)
    table = make_table("dice", paired, make_reader(), tasks)
    assert ONE_PRETRAINING not in table.notes
    only_random = make_table(
        "dice", make_cells(methods=("random",)), make_reader(), tasks
    )
    assert ONE_PRETRAINING not in only_random.notes
    one_seed = make_table("dice", make_cells(seeds=(0,)), make_reader(), tasks)
    assert any("account for cases only" in note for note in one_seed.notes)


def test_captions_of_a_task(make_table, make_cells, make_reader, make_spec):
    tasks = {"organs": make_spec(synthetic=True, allow_partial=True)}
    table = make_table(
        "dice", make_cells(tier="tiny"), make_reader(), tasks, available={"organs": 60}
    )
    (block,) = table.blocks()
    assert block.heading == "organs (synthetic), finetune"
    assert any("60 of 100 cases" in note for note in block.notes)
    assert any("synthetic" in note for note in block.notes)
    assert any("no score is to be quoted" in note for note in table.notes)


def test_auc_and_kappa(make_table, make_cells, make_reader, make_spec):
    cells = make_cells(tasks=("nodules",))
    ordinal = {"name": "g", "classes": ("x", "y", "z"), "ordinal": True}
    for target, words in ((None, "unweighted"), (ordinal, "quadratic")):
        changes = {} if target is None else {"target": target}
        tasks = {"nodules": make_spec("classification", **changes)}
        table = make_table("kappa", cells, make_reader(), tasks)
        assert any(words in note for b in table.blocks() for note in b.notes)
    table = make_table("auc", cells, make_reader(), tasks)
    again = make_table("auc", cells, make_reader(), tasks)
    assert table == again
    entry = of(table, "mae", "100%")
    assert 0.5 < entry.low < entry.mean < entry.high <= 1
    assert (entry.cases, entry.seeds) == (60, 3)
    assert any("2,000 draws, seed 0" in note for note in table.notes)


def test_an_interval_does_not_depend_on_what_else_is_in_the_table(
    make_table, make_cells, make_reader, make_spec
):
    tasks = {"nodules": make_spec("classification")}

    class Same(type(make_reader())):
        def _level(self, _):
            return 0.6

    first = make_cells(tasks=("nodules",), methods=("random",))
    both = make_cells(tasks=("nodules",))
    one, two = (make_table("auc", c, Same(), tasks) for c in (first, both))
    assert of(one, "random", "5-shot").low == of(two, "random", "5-shot").low


def test_gaps_are_paired(make_table, make_cells, make_reader, tasks):
    table = make_table("dice", make_cells(), make_reader(), tasks, kind="gap")
    gap = of(table, "mae", "100% - 5-shot")
    assert gap.mean == pytest.approx(0.2, abs=0.01)
    assert 0.19 < gap.low < gap.high < 0.21  # far narrower than either mean's interval
    assert not any(e.best for e in table.entries)
    assert any("paired by case" in note for note in table.notes)


def test_gaps_of_auc(make_table, make_cells, make_reader, make_spec):
    tasks = {"nodules": make_spec("classification")}
    cells = make_cells(tasks=("nodules",))
    table = make_table("auc", cells, make_reader(), tasks, kind="gap")
    for entry in table.entries:
        assert entry.low < entry.mean < entry.high
    means = make_table("auc", cells, make_reader(), tasks)
    want = of(means, "mae", "100%").mean - of(means, "mae", "5-shot").mean
    assert of(table, "mae", "100% - 5-shot").mean == pytest.approx(want)


def test_undefined_groups_have_a_reason(
    make_table, make_cells, make_reader, make_spec, tasks
):
    table = make_table("dice", make_cells(), make_reader(blind=("dice",)), tasks)
    assert all(e.mean is None and "no structure" in e.reason for e in table.entries)
    cells = make_cells(tasks=("nodules",))
    table = make_table("auc", cells, make_reader(blind=("auc",)), tasks)
    assert all(e.mean is None and "class is absent" in e.reason for e in table.entries)
    assert any("class is absent" in n for b in table.blocks() for n in b.notes)


def test_constant_scores(make_table, make_cells, tasks):
    class Flat:
        def case_scores(self, keys, **_):
            rows = pd.DataFrame({"cell": np.repeat(np.arange(len(keys)), 4)})
            rows["case_id"] = rows["group_id"] = np.tile(list("abcd"), len(keys))
            return rows.assign(score=0.0, misses=0, false_alarms=0, failed=0)

    table = make_table("dice", make_cells(), Flat(), tasks)
    assert {(e.mean, e.low, e.high) for e in table.entries} == {(0.0, 0.0, 0.0)}


def test_bounds_stay_in_the_range_of_the_metric(
    make_table, make_cells, make_reader, tasks
):
    class Near(type(make_reader())):
        def _level(self, _):
            return 0.99

    table = make_table("dice", make_cells(seeds=(0, 1)), Near(cases=3), tasks)
    assert max(e.high for e in table.entries) == 1.0


def test_each_mistake_gives_one_sentence(make_table, make_cells, make_reader, tasks):
    reader, cells = make_reader(), make_cells()
    with pytest.raises(UserError, match=r"no table 'dise'.*Did you mean 'dice'\?"):
        make_table("dise", cells, reader, tasks)
    with pytest.raises(UserError, match="no cell matches"):
        make_table("dice", cells.iloc[:0], reader, tasks)
    with pytest.raises(
        UserError, match=r"no task here has the metric auc \(organs: dice"
    ):
        make_table("auc", cells, reader, tasks)
    with pytest.raises(UserError, match="none of 12 cells with dice is published"):
        make_table("dice", make_cells(state="todo"), reader, tasks)
    one = cells[cells.label_budget == "100%"]
    with pytest.raises(UserError, match="needs two label budgets"):
        make_table("dice", one, reader, tasks, kind="gap")
    with pytest.raises(UserError, match="not a policy"):
        make_table("dice", cells, reader, tasks, undefined={"dice": "none"})


def test_cells_that_disagree_about_the_truth_are_refused(
    make_table, make_cells, make_reader, tasks
):
    class Changed(type(make_reader())):
        def predictions(self, keys, **_):
            rows = super().predictions(keys, **_)
            rows.loc[70, "y_true"] = (rows.y_true[70] + 1) % 3
            return rows

    with pytest.raises(DataError, match="disagree about the true class of case c10"):
        make_table("auc", make_cells(tasks=("nodules",)), Changed(), tasks)


def test_cases_that_not_all_cells_have_are_left_out_and_said(
    make_table, make_cells, make_reader, tasks
):
    class Fewer(type(make_reader())):
        def predictions(self, keys, **_):
            return super().predictions(keys, **_).drop(index=[3, 70])

    table = make_table("auc", make_cells(tasks=("nodules",)), Fewer(), tasks)
    assert {e.cases for e in table.entries} == {58}
    assert any("58 of 60 test cases" in n for b in table.blocks() for n in b.notes)


def test_every_number_names_the_evaluations_it_comes_from(
    make_table, make_cells, make_reader, tasks
):
    cells = make_cells()
    cells["evaluate_key"] = [f"{i:016x}{'0' * 48}" for i in range(len(cells))]

    class Any(type(make_reader())):
        def _level(self, _):
            return 0.6

    table = make_table("dice", cells, Any(), tasks)
    own = cells[(cells.method == "mae") & (cells.label_budget == "100%")]
    assert of(table, "mae", "100%").keys == tuple(k[:16] for k in own.evaluate_key)
    gap = make_table("dice", cells, Any(), tasks, kind="gap")
    assert len(of(gap, "mae", "100% - 5-shot").keys) == 6


def test_budgets_that_share_their_evaluations_keep_their_numbers(
    make_table, make_cells, make_reader, tasks
):
    cells = make_cells()
    plain = make_table("dice", cells, make_reader(), tasks)
    both = cells[cells.label_budget == "100%"].assign(label_budget="n=50")
    shared = make_table("dice", pd.concat([cells, both]), make_reader(), tasks)
    for method in ("random", "mae"):
        want = of(plain, method, "100%")
        for budget in ("100%", "n=50"):
            found = of(shared, method, budget)
            assert (found.mean, found.low) == (want.mean, want.low)


def test_predictions_that_are_not_finite_are_left_out_and_said(
    make_table, make_cells, make_reader, tasks
):
    class Broken(type(make_reader())):
        def predictions(self, keys, **_):
            rows = super().predictions(keys, **_)
            rows.at[3, "scores"] = [np.nan, 0.5, 0.5]
            return rows

    table = make_table("auc", make_cells(tasks=("nodules",)), Broken(), tasks)
    entry = of(table, "random", "5-shot")
    assert entry.seeds == 2
    notes = [note for block in table.blocks() for note in block.notes]
    said = "random (swin), 5-shot: left out 1 of 3 cells: scores not finite."
    assert said in notes


def test_f1_sensitivity_and_specificity(make_table, make_cells, make_reader, tasks):
    cells = make_cells(tasks=("nodules",))
    for metric, words in (
        ("f1", "largest score"),
        ("sens", "on validation cases"),
        ("spec", "on validation cases"),
    ):
        table = make_table(metric, cells, make_reader(), tasks)
        entry = of(table, "mae", "100%")
        assert 0.4 < entry.low < entry.mean < entry.high <= 1
        assert any(words in note for note in table.notes)


def test_without_a_threshold_it_says_so(make_table, make_cells, make_reader, make_spec):
    target = {"name": "risk", "classes": ("low", "high")}
    tasks = {"nodules": make_spec("classification", target=target)}

    class Short(type(make_reader())):
        def predictions(self, keys, *, split="test"):
            rows = super().predictions(keys, split=split)
            rows["y_true"] %= 2
            rows["scores"] = rows.scores.map(lambda s: s[:2])
            return (
                rows if split == "test" else rows[(rows.cell > 0) | (rows.y_true > 0)]
            )

    table = make_table("sens", make_cells(tasks=("nodules",)), Short(), tasks)
    notes = [note for block in table.blocks() for note in block.notes]
    assert (
        "random (swin), 5-shot: undefined: 1 of 3 cells have no threshold, for their "
        "validation cases lack a class."
    ) in notes
    assert sum("no threshold" in note for note in notes) == 1
    assert of(table, "random", "5-shot").mean is None
    assert of(table, "random", "100%").mean is not None


def test_auc_of_each_class(make_evidence, make_cells, make_reader, make_spec):
    tasks = {
        "grades": make_spec("classification"),
        "nodules": make_spec(
            "classification", target={"name": "risk", "classes": ("low", "high")}
        ),
    }
    cells = make_cells(tasks=("grades", "nodules"))

    class Two(type(make_reader())):
        def predictions(self, keys, **_):
            rows = super().predictions(keys, **_)
            two = [key.split("/")[1] == "nodules" for key in keys]
            of_two = rows.cell.map(dict(enumerate(two))).to_numpy()
            rows.loc[of_two, "y_true"] %= 2
            rows.loc[of_two, "scores"] = rows.scores[of_two].map(lambda s: s[:2])
            return rows

    evidence = make_evidence(cells, Two(), tasks)
    table = auc_per_class(evidence)
    assert [block.heading for block in table.blocks()] == [
        "grades, finetune, x", "grades, finetune, y", "grades, finetune, z",
        "nodules, finetune, low", "nodules, finetune, high",
    ]  # fmt: skip
    assert all(0.5 < e.mean <= 1 for e in table.entries)
    macro = build("auc", evidence)
    mine = [e for e in table.entries if (e.task, e.method) == ("grades", "mae")]
    want = [e for e in macro.entries if (e.task, e.method) == ("grades", "mae")]
    for budget in ("5-shot", "100%"):
        each = [e.mean for e in mine if e.budget == budget]
        (mean,) = [e.mean for e in want if e.budget == budget]
        assert sum(each) / 3 == pytest.approx(mean)


def test_each_structure(make_evidence, make_cells, make_reader, tasks):
    table = per_structure("dice", make_evidence(make_cells(), make_reader(), tasks))
    assert [block.heading for block in table.blocks()] == [
        "organs, finetune, liver", "organs, finetune, tumour",
    ]  # fmt: skip
    means = {
        (e.part, e.budget): e.mean for e in table.entries if e.method == "mae"
    }  # fmt: skip
    for budget in ("5-shot", "100%"):
        apart = means["liver", budget] - means["tumour", budget]
        assert apart == pytest.approx(0.1, abs=0.005)
    assert table.by_part
    assert "of each class or structure" in table.title
    assert not any("mean over structures" in note for note in table.notes)
    assert any("not tested" in note for note in table.notes)
