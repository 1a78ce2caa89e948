"""Sheets of structures, of shifts between tasks, and of score against cost."""

import numpy as np
import pytest

from harness.report.catalogue import tables
from harness.report.render import render
from harness.report.shifts import shift
from harness.report.tables import per_organ_group, per_structure
from harness.report.worth import worth
from harness.schema.errors import UserError


@pytest.fixture
def tasks(make_spec):
    return {
        "organs": make_spec(modality="CT"),
        "scans": make_spec(modality="MR"),
        "others": make_spec(modality="CT", structures={"heart": 1, "liver": 2}),
    }


@pytest.fixture
def evidence(make_evidence, make_cells, make_reader, tasks):
    cells = make_cells(tasks=tuple(tasks))
    return make_evidence(cells, make_reader(), tasks, draws=200)


def means(table, part):
    return {
        (e.task, e.method, e.budget): e.mean for e in table.entries if e.part == part
    }


def test_a_group_of_one_organ_is_that_organ_and_of_several_their_mean(evidence):
    groups, structures = (
        per_organ_group("dice", evidence),
        per_structure("dice", evidence),
    )
    large, liver, tumour = (
        means(table, part)
        for table, part in (
            (groups, "large"), (structures, "liver"), (structures, "tumour")
        )
    )  # fmt: skip
    assert {e.part for e in groups.entries} == {"large", "tumour"}
    assert large.keys() == liver.keys()
    assert large == pytest.approx(liver)
    assert means(groups, "tumour") == pytest.approx(tumour)
    both = evidence.stacked("dice", structure=("liver", "tumour"))["organs"]
    alone = [
        evidence.stacked("dice", structure=n)["organs"] for n in ("liver", "tumour")
    ]
    want = np.mean([each.scores.values.mean() for each in alone])
    assert both.scores.values.mean() == pytest.approx(want)


def test_shifts_are_between_modalities_and_by_structure(evidence):
    sheet = shift("dice", evidence)
    blocks = {row.values["block"] for row in sheet.rows}
    assert blocks == {
        "organs minus scans, finetune", "scans minus others, finetune"
    }  # CT against MR only  # fmt: skip
    assert {row.values["structure"] for row in sheet.rows} == {"liver", "tumour"}
    for row in sheet.rows:  # the made-up scores do not hang on the task
        assert row.values["difference"] == pytest.approx(0, abs=0.03)
        assert row.values["low"] < 0 < row.values["high"]
        assert row.values["adjusted"] >= row.values["p"] > 0.01
        assert len(row.keys) == 6  # three seeds on each task
    assert "nan" not in render(sheet, "md")


def test_tasks_that_share_nothing_are_said_and_left_out(
    make_evidence, make_cells, make_reader, make_spec
):
    tasks = {
        "organs": make_spec(), "others": make_spec(structures={"heart": 1, "lung": 2})
    }  # fmt: skip
    cells = make_cells(tasks=tuple(tasks))
    apart = make_evidence(cells, make_reader(), tasks, draws=50)
    with pytest.raises(UserError, match="no two tasks with dice have a structure"):
        shift("dice", apart)
    assert not [stem for stem, _ in tables(apart) if stem.startswith("shift")]


@pytest.mark.parametrize(("gpu_h", "unit"), [(0.5, "GPU-hours"), (0.0, "hours")])
def test_what_a_point_costs(gpu_h, unit, make_evidence, make_cells, make_reader, tasks):
    cells = make_cells(tasks=("organs",))
    evidence = make_evidence(cells, make_reader(gpu_h=gpu_h), tasks, draws=50)
    sheet = worth("dice", evidence)
    row = next(r for r in sheet.rows if r.values["label_budget"] == "100%")
    # an adaptation, its evaluation and the pretraining: 0.5 GPU-hours each, or by clock
    spent, beyond = (1.5, 0.5) if gpu_h else (1 + 180 / 3600, 1.0)
    assert (row.values["method"], row.values["other"]) == ("mae", "random")
    assert row.values["hours"] == pytest.approx(spent)
    assert row.values["extra"] == pytest.approx(beyond)
    assert row.values["points"] == pytest.approx(5, abs=1)
    per_point = beyond / row.values["points"]
    assert row.values["per_point"] == pytest.approx(per_point)
    assert row.marked
    assert {c.head for c in sheet.columns} >= {unit, f"{unit} per point"}


def test_they_are_in_the_catalogue(evidence):
    names = {stem for stem, _ in tables(evidence, "worth")}
    assert names == {f"worth-{metric}" for metric in evidence.shown_metrics()}
    assert [stem for stem, _ in tables(evidence, "shift-hd95")] == ["shift-hd95"]
