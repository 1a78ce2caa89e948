"""Every format says the same, and stands by itself."""

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from harness.report.render import render
from harness.schema.errors import UserError


@pytest.fixture
def table(make_table, make_cells, make_reader, make_spec):
    cells = make_cells(methods=("random", "mae_75%"))
    cells["method"] = cells.method.str.replace("mae_75%", "mae_75%_|x")
    cells.loc[
        (cells.method == "random") & (cells.label_budget == "5-shot"), "state"
    ] = "todo"
    return make_table(
        "dice", cells, make_reader(), {"organs": make_spec(synthetic=True)}
    )


def test_terminal(table):
    text = render(table, "term")
    assert "organs (synthetic), finetune" in text
    assert re.search(r"random +swin +missing \(3 of 3 cells missing\)", text)
    assert re.search(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]!\* +20 x 3 +3 / 6", text)
    assert "method" in text
    assert "encoder" in text
    assert "\033" not in text
    assert "nan" not in text.lower()
    assert max(map(len, text.splitlines())) <= 100
    assert "\033[1m" in render(table, "term", style="bold")


def test_a_narrow_terminal_puts_label_budgets_below_each_other(table):
    text = render(table, "term", width=75)
    assert max(map(len, text.splitlines())) <= 84
    assert text.count("encoder") == 2
    assert render(table, "term", width=200).count("encoder") == 1


def test_markdown_has_rectangular_tables(table):
    text = render(table, "md")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"mae\_75%\_\|x" in text
    assert re.search(r"\| \*\*0\.\d{3} \[", text)


def test_latex_is_balanced_and_escaped(table):
    text = render(table, "tex")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    columns = len(re.search(r"\\begin\{tabular\}\{(l+)\}", text)[1])
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    for line in body.strip().splitlines():
        assert line.endswith(r"\\")
        assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
    assert r"mae\_75\%\_\textbar{}x" in text
    assert r"\textbf{0." in text
    assert not re.search(r"(?<!\\)[%#$](?! needs)", text.split("\n", 1)[1])


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_compiles(table, tmp_path):
    source = (
        "\\documentclass{article}\\usepackage[landscape]{geometry}"
        "\\usepackage{booktabs}\\begin{document}"
        f"{render(table, 'tex')}\\end{{document}}"
    )
    (tmp_path / "t.tex").write_text(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_csv_and_json_hold_the_same_unrounded_numbers(table):
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    document = json.loads(render(table, "json"))
    assert len(rows) == len(document["entries"]) == 4
    assert rows[0]["method"] == document["entries"][0]["method"]
    for row, entry in zip(rows, document["entries"], strict=True):
        assert row["mean"] == ("" if entry["mean"] is None else str(entry["mean"]))
        assert int(row["missing"]) == entry["missing"]
    assert document["notes"] == list(table.notes)


def test_gaps_show_signs(make_table, make_cells, make_reader, make_spec):
    tasks = {"organs": make_spec()}
    table = make_table("dice", make_cells(), make_reader(), tasks, kind="gap")
    text = render(table, "term")
    assert "100% - 5-shot" in text
    assert re.search(r"\+0\.\d{3} \[\+0\.\d{3}, \+0\.\d{3}\]", text)
    assert "missed / false" not in text
    for fmt in ("md", "tex", "csv", "json"):
        assert "100" in render(table, fmt)


def test_a_single_case_says_that_there_is_no_interval(
    make_table, make_cells, make_reader, make_spec
):
    cells = make_cells(seeds=(0,))
    table = make_table("dice", cells, make_reader(cases=1), {"organs": make_spec()})
    assert "(no interval)" in render(table, "term")
    assert "*" not in render(table, "term")


def test_an_unknown_format_is_named(table):
    with pytest.raises(UserError, match=r"no format 'tx'.*Did you mean 'tex'\?"):
        render(table, "tx")
