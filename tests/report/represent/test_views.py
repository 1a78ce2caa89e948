"""Views plug into a report: tables, figures, sections, and what is refused."""

from dataclasses import replace

import pytest

from harness.cli import main
from harness.report import figures
from harness.report.analysed import ANALYSES, read_arrays
from harness.report.catalogue import tables
from harness.report.evidence import Evidence
from harness.report.published import scope_of_store
from harness.report.reader import StoreReader
from harness.report.represent import view_tables, views
from harness.schema.analyses import ANALYSES as KINDS
from harness.schema.errors import UserError


def test_every_module_that_lies_there_is_a_view_of_kinds_that_exist():
    names = [view.name for view in views()]
    assert len(set(names)) == len(names) > 0
    assert {kind for view in views() for kind in view.kinds} <= set(KINDS)
    assert sum(len(view.tables) for view in views()) == len(view_tables())


def test_rows_carry_the_cells_that_they_are_of(measured):
    rows = measured.findings.evidence.features.rows("reuse")
    assert {*ANALYSES} <= set(rows)
    assert set(rows.method) == {"plain", "masked", "harder"}
    assert set(rows.evaluate_key) == {cell.evaluate_key for cell in measured.plan.cells}
    twice = measured.findings.evidence.features.rows("similarity")
    assert set(twice.against) >= {"label_budget=100%", "seed=1", "method=harder"}
    assert twice.other_method.notna().all()


def test_a_results_folder_alone_says_the_same(measured):
    reader = StoreReader.of(measured.store)
    scope = scope_of_store(measured.store)
    alone = Evidence(scope, reader).features.rows("reuse")
    planned = measured.findings.evidence.features.rows("reuse")
    assert sorted(alone.value) == sorted(planned.value)
    one = scope_of_store(measured.store, ["method=masked"])
    assert set(one.analyses.method) == {"masked"}
    assert set(one.analyses.other_method.dropna()) == {"masked"}


def test_arrays_lie_beside_the_rows(measured, tmp_path):
    features = measured.findings.evidence.features
    key = features.nodes("reuse").key[0]
    assert features.arrays(key, "cka.npz")["cka"].shape == (5, 5)
    with pytest.raises(KeyError):
        features.arrays(key, "nothing.npz")
    broken = tmp_path / "cka.npz"
    broken.write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"cka.npz cannot be read: run harness verify"):
        read_arrays(broken)


def test_what_is_not_planned_is_not_a_table(evidence):
    assert not any(view.possible(evidence) for view in views() if view.kinds)
    with pytest.raises(
        UserError, match="there is no analysis reuse here: list it under"
    ):
        list(tables(evidence, "reuse"))


def test_what_is_not_published_yet_is_said(measured):
    evidence = measured.findings.evidence
    missing = evidence.scope.analyses.assign(state="missing")
    scope = replace(evidence.scope, analyses=missing)
    waiting = Evidence(scope, evidence.reader)
    with pytest.raises(UserError, match="none of 18 analyses reuse is published yet"):
        list(tables(waiting, "reuse"))
    analysed = {view.name for view in views() if view.kinds}
    findings = replace(measured.findings, evidence=waiting)
    assert not [one for one in figures.names(findings) if one.split("_")[0] in analysed]


def test_the_page_has_a_section_for_each_view_with_results(measured, capsys):
    words = ["--results", str(measured.store.root), "report", "--published"]
    out = measured.bench.root / "out"
    assert main([*words, "--out", str(out)]) == 0
    page = (out / "index.html").read_text()
    assert 'id="reuse"' in page
    assert "figure-reuse_organs_finetune" in page
    assert (out / "tables" / "reuse.csv").exists()
    assert "Feature reuse by layer" in capsys.readouterr().out


def test_figures_and_tables_by_name(measured, capsys):
    words = ["-b", str(measured.bench.path), "report"]
    out = measured.bench.root / "named"
    assert main([*words, "--table", "reuse"]) == 0
    assert "decoder.up1" in capsys.readouterr().out
    code = main([*words, "--figure", "reuse_organs_finetune", "--format", "svg",
                 "--out", str(out)])  # fmt: skip
    assert code == 0
    assert (out / "figures" / "reuse_organs_finetune.svg").exists()
    assert main([*words, "--figure", "reuse_organs_finetun"]) == 2
    assert "Did you mean 'reuse_organs_finetune'?" in capsys.readouterr().err
