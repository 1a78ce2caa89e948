"""Entries of one method on corpora of two modalities, side by side on one task."""

from dataclasses import replace

import pandas as pd
import pytest

from harness.report.analysed import ANALYSES
from harness.report.evidence import Evidence
from harness.report.figures.modality import differences, sketches
from harness.report.findings import Findings, Place
from harness.report.modalities import twins
from harness.report.options import Options
from harness.report.render import render
from harness.report.represent.modality import VIEW, cross_modality, reuse_by_modality
from harness.schema.errors import UserError

RECIPES = {"mae": "aa ct bb 1", "mae_mr": "aa mr bb 1", "dino": "dd ct bb 1"}
MODALITY = {"mae": "CT", "mae_mr": "MR", "dino": "CT"}


@pytest.fixture
def both(make_evidence, make_cells, make_reader, make_spec):
    """mae on CT and on MR, dino on CT alone; a task of CT and one of ultrasound."""

    class Reader(make_reader):
        def features(self, keys):
            rows = [
                {"cell": cell, "layer": layer, "quantity": "cka", "n": 32,
                 "value": value - 0.2 * ("mae_mr" in key)}
                for cell, key in enumerate(keys)
                for layer, value in (
                    ("stem", 0.9), ("stage1.block1", 0.8), ("stage1.merge", 0.6),
                    ("stem | stage1.block1", 5.0), ("decoder.up1", 5.0),
                )
            ]  # fmt: skip
            return pd.DataFrame(rows)

    tasks = {"organs": make_spec(), "echo": make_spec(modality="US")}
    cells = make_cells(tasks=tuple(tasks), methods=("random", "mae", "mae_mr", "dino"))
    cells = cells.assign(recipe=cells.method.map(RECIPES),
                         pretrained_on=cells.method.map(MODALITY))  # fmt: skip
    made = make_evidence(cells, Reader(), tasks, draws=50)
    analyses = [
        {**dict.fromkeys(ANALYSES), **cell, "kind": "reuse", "analysis": "reuse",
         "key": f"reuse/{cell['evaluate_key']}", "state": "done"}
        for cell in cells.to_dict("records")
    ]  # fmt: skip
    frame = pd.DataFrame(analyses)[list(ANALYSES)]
    return Evidence(replace(made.scope, analyses=frame), Reader(), Options(draws=50))


def test_twins_differ_in_their_corpus_alone(both):
    (pair,) = twins(both)
    assert (pair.task, pair.own, pair.cross, pair.modality) == (
        "organs", "mae", "mae_mr", "MR",
    )  # fmt: skip
    assert VIEW.possible(both)


def test_scores_of_structures_are_paired_by_case(both):
    sheet = cross_modality(both)
    rows = {(r.values["structure"], r.values["label_budget"]): r for r in sheet.rows}
    assert set(rows) == {
        (structure, budget)
        for structure in ("all", "liver", "tumour")
        for budget in ("5-shot", "100%")
    }
    for row in rows.values():  # mae is made 0.05 better than all others
        assert row.values["difference"] == pytest.approx(0.05, abs=0.01)
        assert 0 < row.values["difference_low"] < row.values["difference_high"]
        apart = row.values["own"] - row.values["cross"]
        assert row.values["difference"] == pytest.approx(apart)
        # pairing by case takes the cases' own ease out of the difference
        wide = row.values["own_high"] - row.values["own_low"]
        assert row.values["difference_high"] - row.values["difference_low"] < wide / 2
        assert len(row.keys) == 6
    assert "nan" not in render(sheet, "md")


def test_reuse_is_compared_by_stage(both):
    rows = {
        (r.values["structure"], r.values["label_budget"]): r.values
        for r in reuse_by_modality(both).rows
    }
    assert list(rows)[:2] == [("stem", "5-shot"), ("stage1", "5-shot")]
    assert list(rows)[2:] == [("stem", "100%"), ("stage1", "100%")]
    assert rows["stage1", "100%"]["own"] == pytest.approx(0.7)
    assert rows["stage1", "100%"]["difference"] == pytest.approx(0.2)
    assert rows["stem", "5-shot"]["seeds"] == 3


def test_what_is_missing_is_said(both):
    cells = both.scope.cells
    one = replace(both.scope, cells=cells[cells.method != "mae_mr"])
    alone = Evidence(one, both.reader, both.options)
    assert not VIEW.possible(alone)
    said = (
        "pretrained on CT and used on CT, US: a comparison across modalities needs two"
    )
    with pytest.raises(UserError, match=said):
        cross_modality(alone)
    with pytest.raises(UserError, match="no reuse of two entries that differ"):
        reuse_by_modality(alone)
    bare = replace(one, cells=one.cells.drop(columns=["recipe", "pretrained_on"]))
    with pytest.raises(UserError, match="pretrained on nothing known"):
        cross_modality(Evidence(bare, both.reader, both.options))


def test_the_figure_has_a_mark_per_structure(both):
    findings = Findings(both, {}, published=None)
    scores, reuse = sketches(findings)
    assert scores.name == "cross_modality_organs_finetune"
    assert reuse.name == "reuse_by_modality_organs_finetune"
    stages = reuse.draw()
    assert list(stages.data.structure.unique()) == ["stem", "stage1"]
    assert "CKA of each stage" in stages.caption
    drawing = differences(findings, Place("organs", "finetune"), "x")
    assert len(drawing.figure.axes) == 2
    assert len(drawing.data) == 6
