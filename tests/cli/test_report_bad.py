"""What a report says of results that are empty, failed, strange or asked for wrongly."""

import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.cli import main
from harness.cli.main import parser
from harness.cli.refresh import watched
from harness.cli.report import report
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
from harness.store.tables import SCHEMAS, build, write_table
from tests.conftest import GOOD

ONE = GOOD.replace("[5-shot, 100%]", "[100%]").replace("seeds: [0, 1]", "seeds: [0]")


def publish(bench, text, value, *, cases="1234", keep=lambda _: True, metric="dice"):
    """Publish the segmentation cells with value(case) as every structure's score."""
    plan = make_plan(load(bench.write(text)), None)
    store = Store(bench.root / "results")
    for cell in plan.cells:
        if cell.protocol != "finetune" or not keep(cell):
            continue
        for key in (cell.adapt_key, cell.evaluate_key):
            store.write_spec(plan.spec(key))
        with store.begin(cell.evaluate_key, made_by={}) as attempt:
            rows = [(case, m) for case in cases for m in (metric, "hd95")]
            columns = {
                "key": [cell.evaluate_key] * len(rows),
                "case_id": [row[0] for row in rows],
                "group_id": [row[0] for row in rows],
                "structure": ["big"] * len(rows),
                "metric": [row[1] for row in rows],
                "value": [value(int(row[0])) for row in rows],
                "diagonal_mm": [30.0] * len(rows),
            }
            write_table(attempt.path("cases.parquet"), build("cases", columns))
            attempt.publish()
    return store


@pytest.fixture
def run(bench, capsys, monkeypatch):
    bench.write()
    monkeypatch.chdir(bench.root)

    def run(*words):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = main(["report", *words])
        out, err = capsys.readouterr()
        assert "nan" not in out.lower()
        assert "Traceback" not in err
        return code, out, err

    return run


def refused(found, sentence):
    code, out, err = found
    assert (code, out) == (2, "")
    assert err.startswith("harness: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_an_empty_store(run, bench):
    refused(run(), "none of 24 cells is published")
    Store(bench.root / "results").create()
    refused(run("--table", "dice"), "none of 12 cells with dice is published")
    refused(run("--published"), "holds no published evaluation")


def test_only_failures(run, bench):
    plan = make_plan(load(bench.path), None)
    store = Store(bench.root / "results")
    for cell in plan.cells:
        store.write_spec(plan.spec(cell.evaluate_key))
        store.begin(cell.evaluate_key, made_by={}).fail("oom", "out of memory")
    refused(run(), "nothing to show yet")
    refused(run("--table", "cost"), "nothing to show yet")


def test_one_seed_and_one_case(run, bench):
    publish(bench, ONE, lambda case: case / 10, cases="1")
    code, out, err = run("--table", "dice")
    assert (code, err) == (0, "")
    assert "(no interval)" in out
    assert "One case under one seed has no interval." in out
    code, out, _ = run("--table", "tests")
    assert code == 0
    assert "too few" in out or "cannot reach" in out or "no difference" in out


def test_one_seed(run, bench):
    publish(bench, ONE, lambda case: case / 10)
    code, out, _ = run("--table", "dice")
    assert code == 0
    assert "account for cases only" in out


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_scores_and_ties(run, bench, value):
    publish(bench, GOOD, lambda _: value)
    for table in ("dice", "gap", "tests", "comparison", "rank", "intervals"):
        code, out, err = run("--table", table, "--filter", "task=organs")
        assert (code, err) == (0, ""), table
    assert f"{value:.3f}" in out
    _, out, _ = run("--table", "tests", "--filter", "task=organs")
    assert "no difference" in out


def test_a_method_without_a_finished_cell(run, bench):
    publish(bench, GOOD, lambda case: case / 10, keep=lambda c: c.method != "harder")
    code, out, _ = run("--table", "dice")
    assert code == 0
    assert "missing (2 of 2 cells missing)" in out
    refused(run("--table", "rank", "--filter", "task=organs"), "--allow-incomplete")
    code, out, _ = run(
        "--table", "rank", "--filter", "task=organs", "--allow-incomplete"
    )
    assert code == 0
    assert "Harder is left out: it has no score." in out


def test_values_that_are_not_finite(run, bench):
    store = publish(bench, GOOD, lambda case: case / 10)
    for key in store.done():
        path = store.file(key, "cases.parquet")
        table = pq.read_table(path)
        values = table["value"].to_pylist()
        values[0] = float("nan")
        place = table.schema.get_field_index("value")
        table = table.set_column(place, table.schema.field(place), pa.array(values))
        path.chmod(0o644)
        size = path.stat().st_size
        pq.write_table(table, path, compression="zstd")
        manifest = next((bench.root / "results/done").rglob(f"{key[:16]}.json"))
        text = manifest.read_text()
        manifest.write_text(text.replace(f":{size},", f":{path.stat().st_size},"))
    code, out, err = run("--table", "dice")
    assert (code, err) == (0, "")
    assert "scores could not be computed and are left out." in out


def test_a_newer_schema_is_refused_and_an_older_one_read(run, bench):
    store = publish(bench, GOOD, lambda case: case / 10)
    code, old, _ = run("--table", "dice")
    key = next(iter(store.done()))
    path = store.file(key, "cases.parquet")
    table = pq.read_table(path)
    extra = table.append_column("a_later_column", pa.array(range(table.num_rows)))
    assert set(SCHEMAS["cases"].names) < set(extra.schema.names)
    path.chmod(0o644)
    size = path.stat().st_size
    pq.write_table(extra, path)
    manifest = next((bench.root / "results/done").rglob(f"{key[:16]}.json"))
    text = manifest.read_text()
    manifest.write_text(text.replace(f":{size},", f":{path.stat().st_size},"))
    assert run("--table", "dice")[:2] == (code, old)


def test_a_metric_that_no_task_has(run, bench):
    publish(bench, GOOD, lambda case: case / 10)
    refused(
        run("--table", "auc", "--filter", "task=organs"),
        "no task here has the metric auc (organs: dice, hd95)",
    )
    refused(run("--table", "claims"), "no claims are stated")
    refused(run("--table", "rnak"), "Did you mean 'rank'?")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--filter", "method=plane"], "Did you mean 'plain'?"),
        (["--filter", "method=plain,method!=plain"], "no cell of the matrix is left"),
        (["--alpha", "1.5"], "--alpha 1.5: expected a number between 0 and 1"),
        (["--level", "0"], "--level 0: expected a number between 0 and 1"),
        (["--draws", "7"], "--draws 7: expected 100 to 100000"),
        (["--draw-seed", "-1"], "--draw-seed -1: expected 0 or more"),
        (["--style", "dino"], "'dino' is not a style"),
        (["--undefined", "dice=two"], "not a policy for undefined dice values"),
        (["--watch", "0"], "--watch 0: expected 1 second or more"),
        (["--table", "tests", "--baseline", "plan"], "'plan' is not a method here"),
    ],
)
def test_wrong_options(run, bench, words, sentence):
    publish(bench, GOOD, lambda case: case / 10)
    refused(run(*words), sentence)


def test_watching_ends_when_nothing_is_missing(bench, capsys, monkeypatch):
    text = GOOD.replace("  nodules: {protocols: [linear_probe]}\n", "")
    bench.write(text)
    monkeypatch.chdir(bench.root)
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        seed = len(waits) - 1
        publish(bench, text, lambda case: case / 10, keep=lambda c: c.seed == seed)

    args = parser().parse_args(["report", "--watch", "5", "--table", "dice"])
    assert watched(args, report, sleep=sleep) == 0
    assert waits == [5.0, 5.0]
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "cells published." in line]
    assert "0 of 12 cells published. nothing to show yet" in lines[0]
    assert ["6 of 12" in lines[1], "12 of 12" in lines[2]] == [True, True]
    assert out.count("Dice by method and label budget") == 2
