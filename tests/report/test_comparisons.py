"""Sheets of tests, ranks and intervals: what they say, and when they cannot."""

import csv
import dataclasses
import io
import json

import pytest

from harness.report.catalogue import NotShown, tables
from harness.report.comparisons import against_baseline, all_pairs
from harness.report.intervals import intervals
from harness.report.rankings import ranks
from harness.report.render import render
from harness.schema.claims import ClaimEntry, StatedClaim, parse_claim
from harness.schema.errors import UserError

METHODS = ("random", "mae", "simmim")


def test_each_method_against_the_baseline(evidence):
    sheet = against_baseline("dice", evidence)
    assert [heading for heading, _ in sheet.parts()] == ["organs, finetune"]
    assert {row.values["other"] for row in sheet.rows} == {"random"}
    by_method = {
        row.values["method"]: row
        for row in sheet.rows
        if row.values["label_budget"] == "100%"
    }
    mae, simmim = by_method["mae"], by_method["simmim"]
    assert mae.values["difference"] == pytest.approx(0.05, abs=0.01)
    assert (mae.marked, simmim.marked) == (True, False)
    assert mae.values["p"] < mae.values["adjusted"] < 0.05
    assert mae.values["family_size"] == 4
    assert mae.values["rank_biserial"] == 1
    assert len(mae.keys) == 6
    notes = " ".join(sheet.notes)
    for words in ("Wilcoxon", "Holm", "4 tests", "80% power", "paired by case"):
        assert words in notes
    text = render(sheet, "term")
    assert "adjusted p" in text
    assert "nan" not in text


def test_all_pairs_and_another_baseline(
    make_evidence, make_cells, make_reader, tasks, evidence
):
    assert len(all_pairs("dice", evidence).rows) == 2 * 3
    other = make_evidence(
        make_cells(methods=METHODS), make_reader(), tasks, baseline="mae"
    )
    found = against_baseline("dice", other)
    assert {row.values["method"] for row in found.rows} == {"random", "simmim"}
    wrong = make_evidence(make_cells(), make_reader(), tasks, baseline="moe")
    with pytest.raises(UserError, match=r"'moe' is not a method here.*Did you mean"):
        against_baseline("dice", wrong)


def test_too_few_cases_say_so_instead_of_a_p_value(
    make_evidence, make_cells, make_reader, tasks
):
    evidence = make_evidence(make_cells(), make_reader(cases=5), tasks)
    sheet = against_baseline("dice", evidence)
    assert {row.values["verdict"] for row in sheet.rows} == {
        "cannot reach 0.05 with n = 5"
    }
    assert all(row.values["adjusted"] is None for row in sheet.rows)
    rows = list(csv.DictReader(io.StringIO(render(sheet, "csv"))))
    assert {row["adjusted"] for row in rows} == {""}


def test_the_style_of_a_paper(make_evidence, make_cells, make_reader, tasks):
    evidence = make_evidence(
        make_cells(), make_reader(), tasks, style="dino3d", draws=200
    )
    notes = " ".join(against_baseline("dice", evidence).notes)
    assert "no correction for their number" in notes
    assert "Style dino3d" in notes
    ((_, table),) = tables(evidence, "dice")
    assert any("style dino3d" in note for note in table.notes)
    assert all(entry.rule == "cases" for entry in table.entries)


def test_what_cannot_be_told_from_the_best_is_marked(evidence):
    ((_, table),) = tables(evidence, "dice")
    marks = {
        (e.method, e.budget): (e.best, e.close)
        for e in table.entries
        if e.budget == "100%"
    }
    assert marks["mae", "100%"] == (True, False)
    assert marks["random", "100%"] == (False, False)
    assert any("separable" in note for note in table.notes)


def test_equal_methods_are_close_to_the_best(
    make_evidence, make_cells, make_reader, tasks
):
    class Same(type(make_reader())):
        def _level(self, _):
            return 0.6

    evidence = make_evidence(make_cells(methods=METHODS), Same(), tasks)
    ((_, table),) = tables(evidence, "dice")
    assert sum(e.best for e in table.entries) == 2
    assert sum(e.close for e in table.entries) == 4
    text = render(table, "term")
    assert "]!~" in text
    assert any(
        note.startswith("~: not separable from the best") for note in table.notes
    )
    assert r"]!\textasciitilde{}" in render(table, "tex")


def test_ranks(evidence):
    sheet = ranks("dice", evidence)
    assert [heading for heading, _ in sheet.parts()] == [
        "all label budgets", "5-shot", "100%",
    ]  # fmt: skip
    first = sheet.rows[0]
    assert first.values["method"] == "mae"
    assert first.marked
    assert (first.values["rank"], first.values["first"]) == (1.0, 1.0)
    assert (first.values["settings"], first.values["duels"]) == (2, 1.0)
    # The keys of these tests differ by seed only after their first 16 letters.
    assert first.keys == ("mae/organs/5-sho", "mae/organs/100%/")
    few = next(row for row in sheet.rows if row.values["over"] == "5-shot")
    assert few.values["iqm_low"] <= few.values["iqm"] <= few.values["iqm_high"]
    assert any("Kendall" in note for note in sheet.notes)


def test_ranks_are_refused_where_cells_are_missing(
    make_evidence, make_cells, make_reader, tasks
):
    cells = make_cells(methods=METHODS)
    cells.loc[cells.evaluate_key == "mae/organs/5-shot/1", "state"] = "failed"
    with pytest.raises(UserError, match="--allow-incomplete"):
        ranks("dice", make_evidence(cells, make_reader(), tasks))
    allowed = make_evidence(cells, make_reader(), tasks, allow_incomplete=True)
    assert any("missing" in note for note in ranks("dice", allowed).notes)
    alone = make_evidence(make_cells(methods=("mae",)), make_reader(), tasks)
    with pytest.raises(UserError, match="two methods or more"):
        ranks("dice", alone)


def test_friedman_from_five_tasks_on(make_evidence, make_cells, make_reader, make_spec):
    tasks = {f"t{i}": make_spec() for i in range(6)}
    cells = make_cells(tasks=tuple(tasks), methods=METHODS)
    sheet = ranks("dice", make_evidence(cells, make_reader(), tasks, draws=200))
    notes = " ".join(sheet.notes)
    assert "Friedman's test over 6 tasks" in notes


@pytest.mark.parametrize("metric", ["dice", "auc"])
def test_intervals_side_by_side(evidence, metric):
    sheet = intervals(metric, evidence)
    row = sheet.rows[0].values
    kinds = ("default", "percentile", "cases", "seeds")
    for kind in kinds:
        assert row[f"{kind}_low"] < row[kind] < row[f"{kind}_high"]
    assert len({row[kind] for kind in kinds}) == 1
    assert ("bca_low" in row) == (metric == "dice")
    text = render(sheet, "md")
    assert "percentile, both" in text
    assert len(sheet.rows[0].keys) == 3


def test_without_a_baseline_the_other_tables_remain(
    make_evidence, make_cells, make_reader, tasks
):
    evidence = make_evidence(make_cells(methods=("mae",)), make_reader(), tasks)
    found = dict(tables(evidence))
    left_out = {k: v.reason for k, v in found.items() if isinstance(v, NotShown)}
    assert "no baseline to compare with" in left_out["tests-dice"]
    assert "two methods" in left_out["rank-dice"]
    assert "dice" in found
    assert "needs two methods" in left_out["comparison-dice"]


def test_every_table_in_every_format(evidence):
    for stem, table in tables(evidence):
        assert not stem.startswith("trend")  # all were pretrained on as many cases
        if stem == "convergence":  # no curves
            assert isinstance(table, NotShown)
            continue
        assert not isinstance(table, NotShown), (stem, table)
        for fmt in ("term", "md", "tex", "csv", "json"):
            text = render(table, fmt)
            assert "nan" not in text, (stem, fmt)
            assert "None" not in text, (stem, fmt)
        document = json.loads(render(table, "json"))
        numbers = document.get("entries", document.get("rows"))
        assert all(one["keys"] for one in numbers), stem


def test_claims(make_evidence, make_cells, make_reader, tasks):
    texts = {
        "mae > random on dice": "supported",
        "random > mae at 100%": "contradicted",
        "simmim > random on dice[tumour]": "undecided",
        "mae at 100% > 0.5 on auc": "supported",
        "mae at 100% > 0.5 on auc[y]": "supported",
        "steps(mae) < steps(random)": "undecided",
    }
    cells = make_cells(tasks=("organs", "nodules"), methods=METHODS)
    stated = [
        StatedClaim(parse_claim(text), ClaimEntry(claim=text, id=f"C{i}"), "b.yaml:3")
        for i, text in enumerate(texts)
    ]
    evidence = make_evidence(cells, make_reader(), tasks, draws=200)
    evidence.scope = dataclasses.replace(evidence.scope, claims=tuple(stated))
    ((_, sheet),) = tables(evidence, "claims")
    found = {row.values["claim"]: row.values["verdict"] for row in sheet.rows}
    assert found == texts
    first = sheet.rows[0]
    assert first.values["difference"] == pytest.approx(0.05, abs=0.01)
    assert first.values["low"] < first.values["difference"] < first.values["high"]
    assert first.values["held"] == "2 of 2"
    assert first.marked
    assert first.keys
    assert sheet.rows[-1].values["reason"]
    assert "claims" in dict(tables(evidence))


def test_without_claims_it_says_so(evidence):
    with pytest.raises(UserError, match="no claims are stated"):
        list(tables(evidence, "claims"))
    assert "claims" not in dict(tables(evidence))
