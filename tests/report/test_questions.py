"""Sheets of gains, gaps in percent and label efficiency."""

import json

import pytest

from harness.report.catalogue import tables
from harness.report.questions import efficiency, gain, gap_percent
from harness.report.render import render
from harness.schema.errors import UserError


def test_gains_in_points_and_percent(evidence):
    sheet = gain("dice", evidence)
    assert {row.values["other"] for row in sheet.rows} == {"random"}
    mae = next(row for row in sheet.rows if row.values["method"] == "mae")
    assert mae.values["points"] == pytest.approx(0.05, abs=0.02)
    assert mae.values["percent"] > 100 * mae.values["points"]
    assert mae.keys
    text = render(sheet, "term")
    assert "in percent" in text
    assert "nan" not in text


def test_gaps_in_percent_have_the_cells_of_both_budgets(evidence):
    sheet = gap_percent("dice", evidence)
    row = sheet.rows[0]
    assert row.values["many"] == "100%"
    assert row.values["few"] != "100%"
    assert row.values["points_low"] <= row.values["points"]
    assert len(row.keys) == 6  # three seeds at each of two budgets
    assert json.loads(render(sheet, "json"))


def test_label_efficiency_against_the_baseline(evidence):
    sheet = efficiency("dice", evidence)
    assert {row.values["target"] for row in sheet.rows} == {"random"}
    assert {row.values["method"] for row in sheet.rows} == {"mae", "simmim"}
    assert "points" not in {column.name for column in sheet.columns}
    for row in sheet.rows:
        if row.values["surely"] is not None:
            assert row.values["earliest"] is not None


def test_they_work_for_runs_and_are_in_the_catalogue(evidence):
    names = {stem for stem, _ in tables(evidence, "gain")}
    assert names == {f"gain-{metric}" for metric in evidence.shown_metrics()}
    assert gain("auc", evidence).rows


def test_nothing_to_compare_is_said(make_evidence, make_cells, make_reader, tasks):
    cells = make_cells(tasks=("organs",), methods=("random",))
    cells = cells[cells.label_budget == "100%"]
    alone = make_evidence(cells, make_reader(), tasks, draws=50)
    with pytest.raises(UserError, match="no baseline to compare with"):
        gain("dice", alone)
    for sheet in (gap_percent, efficiency):
        with pytest.raises(UserError, match="nothing to compare is published yet"):
            sheet("dice", alone)
