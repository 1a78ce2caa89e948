"""`harness report` and `harness verify`: what they say, write and refuse."""

import csv
import json

import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
from harness.store.tables import build, write_table


def publish(bench, *, methods=("plain", "masked"), dice=0.8):
    """Publish the evaluations of segmentation cells with scores made here."""
    plan = make_plan(load(bench.path), None)
    store = Store(bench.root / "results")
    for cell in plan.cells:
        if cell.protocol != "finetune" or cell.method not in methods:
            continue
        store.write_spec(plan.spec(cell.evaluate_key))
        attempt = store.begin(cell.evaluate_key, made_by={})
        rows = [
            (case, structure, metric, value + 0.01 * int(case) - 0.02 * cell.seed)
            for case in "1234"
            for structure in ("big", "small")
            for metric, value in (("dice", dice), ("hd95", 5.0))
        ]
        write_table(
            attempt.path("cases.parquet"),
            build(
                "cases",
                {
                    "key": [cell.evaluate_key] * len(rows),
                    "case_id": [row[0] for row in rows],
                    "group_id": [row[0] for row in rows],
                    "structure": [row[1] for row in rows],
                    "metric": [row[2] for row in rows],
                    "value": [row[3] for row in rows],
                    "reason": [None] * len(rows),
                    "diagonal_mm": [30.0] * len(rows),
                },
            ),
        )
        assert attempt.publish() == "published"
    return store


@pytest.fixture
def run(bench, capsys, monkeypatch):
    bench.write()
    monkeypatch.chdir(bench.root)

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


def test_a_table_is_printed_with_its_mean_and_nothing_is_written(run, bench):
    publish(bench)
    code, out, err = run("report", "--table", "dice")
    assert (code, err) == (0, "")
    # mean over cases 1-4 (+0.025), seeds 0 and 1 (-0.01)
    assert "0.815 [" in out
    assert "organs (synthetic), finetune" in out
    assert not (bench.root / "reports").exists()


def test_formats_are_written_and_agree(run, bench, tmp_path):
    publish(bench)
    code, out, _ = run(
        "report",
        "--table",
        "dice",
        "--format",
        "md,tex,csv,json",
        "--out",
        str(tmp_path),
    )
    assert code == 0
    assert "Written: 4 files" in out
    folder = tmp_path / "tables"
    names = {path.name for path in folder.iterdir()}
    assert names == {"dice.md", "dice.tex", "dice.csv", "dice.json"}
    rows = list(csv.DictReader((folder / "dice.csv").read_text().splitlines()))
    means = {(r["method"], r["budget"]): r["mean"] for r in rows}
    assert float(means["plain", "100%"]) == pytest.approx(0.815)
    assert means["harder", "100%"] == ""
    assert "0.815" in (folder / "dice.md").read_text()


def test_without_a_table_every_metric_is_printed_and_written(run, bench):
    publish(bench, methods=("plain", "masked", "harder"))
    # classification cells are missing, so those metrics have nothing to show
    code, _, err = run("report", "--filter", "task=organs")
    assert (code, err) == (0, "")
    written = {
        str(path.relative_to(bench.root / "reports/benchmark"))
        for path in (bench.root / "reports").rglob("*.*")
    }
    assert {
        "tables/dice.md",
        "tables/hd95.csv",
        "figures/dice_by_budget.png",
    } <= written


def test_json_is_one_document(run, bench):
    publish(bench)
    code, out, _ = run("report", "--table", "hd95", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"hd95"}


def test_the_gap_between_budgets(run, bench):
    publish(bench)
    code, out, _ = run("report", "--table", "gap", "--filter", "task=organs")
    assert code == 0
    assert "+0.000" in out  # the same scores at both budgets


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--table", "dise"],
            "no table 'dise': expected one of dice, hd95, auc, kappa, f1",
        ),
        (
            ["--table", "auc"],
            "nothing to show yet: none of 12 cells with auc is published",
        ),
        (["--table", "dice", "--format", "pdf"], "--format pdf: expected some of"),
        (
            ["--table", "dice", "--undefined", "iou=0"],
            "--undefined iou=0: expected dice=",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(run, bench, words, sentence):
    publish(bench)
    code, out, err = run("report", *words)
    assert (code, out) == (2, "")
    assert err.startswith("harness: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_an_output_folder_that_cannot_be_written(run, bench, tmp_path):
    publish(bench)
    (tmp_path / "file").write_text("")
    code, _, err = run(
        "report", "--table", "dice", "--format", "md", "--out", str(tmp_path / "file")
    )
    assert code == 2
    assert "cannot be written" in err
    assert "--out" in err


def test_verify_finds_a_changed_file(run, bench):
    store = publish(bench)
    code, out, _ = run("verify")
    assert code == 0
    assert out.endswith("0 damaged\n")
    key = next(iter(store.done()))
    path = store.file(key, "cases.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    code, out, _ = run("verify", "--json")
    assert code == 1
    assert [one["key"] for one in json.loads(out)["problems"]] == [key]


def test_without_a_benchmark_file_the_results_folder_is_reported(run, bench, tmp_path):
    publish(bench)
    bench.path.rename(tmp_path / "gone.yaml")
    code, out, err = run("report", "--table", "dice")
    assert (code, err) == (0, "")
    assert "0.815 [" in out
    assert "planned and are" in out
    code, out, _ = run("report", "--table", "dice", "--filter", "method=plain")
    assert "masked" not in out
    code, out, err = run("report", "--results", str(tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert "there is no benchmark.yaml and no results folder" in err


def test_a_changed_benchmark_file_points_to_what_is_published(run, bench):
    publish(bench)
    bench.write(bench.path.read_text().replace("steps: 7", "steps: 8"))
    code, out, err = run("report", "--table", "dice")
    assert (code, out) == (2, "")
    assert "holds 8 evaluations of other settings" in err
    assert "harness report --published" in err
    code, out, err = run("report", "--table", "dice", "--published")
    assert (code, err) == (0, "")
    assert "0.815 [" in out


def test_missing_data_is_not_called_other_settings(run, bench):
    publish(bench)
    text = bench.path.read_text()
    bench.write(text.replace("organs: {", "absent: {"))
    code, out, err = run("report", "--table", "dice")
    assert (code, out) == (2, "")
    assert "other settings" not in err
    assert (
        "what names them is missing (absent): the data of task 'absent' is mis" in err
    )
    assert "harness report --published" in err
    # beside tasks whose cells are found, too
    bench.write(text.replace("tasks:\n", "tasks:\n  absent: {protocols: [finetune]}\n"))
    code, out, err = run("report", "--table", "dice")
    assert (code, err) == (0, "")
    assert "0.815 [" in out
    assert "What names the cells of absent is missing here, so none is found:" in out


def test_a_benchmark_file_that_was_named_must_be_there(run, bench):
    publish(bench)
    code, _, err = run("report", "-b", "other.yaml")
    assert code == 2
    assert "other.yaml" in err


def test_what_is_not_finished_is_said_and_the_rest_is_written(run, bench):
    publish(bench)
    code, out, err = run("report")
    assert (code, err) == (0, "")
    assert "No table auc: nothing to show yet: none of 12 cells with auc" in out
    assert "not published yet." in out
    tables = bench.root / "reports/benchmark/tables"
    assert (tables / "dice.md").exists()
    assert not (tables / "auc.md").exists()
    assert (tables / "cost.csv").exists()
    code, out, _ = run("report", "--json")
    assert code == 0
    document = json.loads(out)
    assert {"dice", "hd95", "gap-dice", "cost"} <= set(document)
    keys = document["cost"]["rows"][0]["keys"]
    assert keys
    assert all(len(key) == 16 for key in keys)
