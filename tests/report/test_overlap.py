"""Methods that had seen a task: marked in every table; upper bounds stand in no ranking."""

import json

import pytest

from harness.report.catalogue import tables
from harness.report.render import render
from harness.schema.errors import UserError

TASKS = ("organs", "lesions")


@pytest.fixture
def made(make_evidence, make_cells, make_reader, make_spec):
    """supervised learnt from organs: it is the best there, and has seen its labels."""

    def build(mark="upper bound", methods=("random", "smit", "mae"), **options):
        cells = make_cells(TASKS, methods)
        seen = (cells.method == "mae") & (cells.task == "organs")
        cells["overlap"] = None
        cells.loc[seen, "overlap"] = mark
        specs = {name: make_spec() for name in TASKS}
        return make_evidence(cells, make_reader(), specs, draws=200, **options)

    return build


def one(evidence, name):
    return dict(tables(evidence, name))[name if name == "dice" else f"{name}-dice"]


def test_the_number_says_so_and_is_no_columns_best(made):
    table = one(made(), "dice")
    of_mae = {e.task: e for e in table.entries if e.method == "mae"}
    assert of_mae["organs"].overlap == "upper bound"
    assert of_mae["lesions"].overlap is None
    assert of_mae["lesions"].best
    assert not of_mae["organs"].best
    assert not of_mae["organs"].close
    assert any(e.best for e in table.entries if e.task == "organs")  # another one is
    text = render(table, "md")
    assert text.count("(upper bound)") == 2  # two label budgets
    assert "- Upper bound: the encoder learnt from labels" in text
    for fmt in ("term", "tex"):
        assert "(upper bound)" in render(table, fmt)
    rows = json.loads(render(table, "json"))["entries"]
    assert {r["overlap"] for r in rows if r["task"] == "organs"} == {
        None,
        "upper bound",
    }


def test_a_ranking_leaves_it_out_and_says_which(made):
    sheet = one(made(), "rank")
    assert {row.values["method"] for row in sheet.rows} == {"random", "smit"}
    assert "Mae is left out: an upper bound on organs." in sheet.notes
    with pytest.raises(UserError, match="two methods or more"):
        one(made(methods=("random", "mae")), "rank")


@pytest.mark.parametrize("name", ["tests", "comparison", "intervals", "gain"])
def test_rows_of_other_tables_carry_the_mark(made, name):
    sheet = one(made(baseline="random"), name)
    assert "overlap" in [column.name for column in sheet.columns]
    for row in sheet.rows:
        both = (row.values.get("method"), row.values.get("other"))
        seen = row.values["task"] == "organs" and "mae" in both
        assert row.values["overlap"] == ("upper bound" if seen else None), row.values
    assert any("upper bound" in line for line in render(sheet, "md").splitlines())


def test_pretraining_on_test_images_is_marked_and_ranked(made):
    found = made("seen in pretraining")
    assert "(seen in pretraining)" in render(one(found, "dice"), "md")
    assert "mae" in {row.values["method"] for row in one(found, "rank").rows}


def test_without_any_nothing_is_added(made):
    found = made(None)
    assert "overlap" not in [column.name for column in one(found, "intervals").columns]
    assert "pper bound" not in render(one(found, "dice"), "md")
