"""`harness why` and `harness logs` on a benchmark of the tests' own content."""

import json
from types import SimpleNamespace

import pytest

from harness.cli import logs, main
from harness.plan import make_plan
from harness.schema.errors import Exit
from harness.store import Store


@pytest.fixture
def cell(bench, monkeypatch, tmp_path):
    """A failed cell of a benchmark: its plan entry, its store and its last attempt."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no SLURM
    plan = make_plan(bench.load())
    store = Store(plan.matrix.results)
    found = next(c for c in plan.cells if (c.method, c.task) == ("plain", "organs"))
    for key in (found.adapt_key, found.evaluate_key):
        store.write_spec(plan.spec(key))
    attempt = store.begin(found.adapt_key, made_by={})
    attempt.log.write_text("".join(f"line {i}\n" for i in range(300)))
    return SimpleNamespace(cell=found, store=store, attempt=attempt)


@pytest.fixture
def run(bench, capsys):
    def command(*words):
        code = main([*words, "-b", str(bench.path)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_why_explains_a_cell_by_key_and_by_words(run, cell):
    cell.attempt.fail("oom", "12 GB asked for")
    key = cell.cell.evaluate_key
    code, out, _ = run("why", key[:12])
    assert code == Exit.FAILED
    assert out.startswith(
        f"{key[:16]} {cell.cell.label}\nfailed: oom: 12 GB asked for\n"
    )
    words = ("plain", "organs", cell.cell.budget, f"seed={cell.cell.seed}")
    assert run("why", *words)[1] == out
    code, out, _ = run("why", "--json", key)
    assert json.loads(out)["reason"] == "oom: 12 GB asked for"


def test_the_exit_code_says_how_it_stands(run, cell):
    cell.attempt.fail("oom", "12 GB asked for")
    assert run("why", "pretrain", "masked")[0] == Exit.INCOMPLETE
    assert run("why", cell.cell.adapt_key)[0] == Exit.FAILED


def test_what_cannot_be_found_is_one_sentence(run, cell):
    cell.attempt.fail("oom", "12 GB asked for")
    code, out, err = run("why", "plan", "organs")
    assert (code, out) == (Exit.USAGE, "")
    assert err == (
        "harness: no cell has 'plan'. Did you mean 'plain'? `harness ls cells` has all\n"
    )
    code, _, err = run("logs", "plain", "organs")
    assert code == Exit.USAGE
    assert "name one of them" in err


def test_logs_prints_the_end_of_the_log(run, cell):
    cell.attempt.fail("oom", "12 GB asked for")
    code, out, _ = run("logs", cell.cell.evaluate_key)
    assert code == Exit.DONE
    lines = out.splitlines()
    assert lines[0] == f"==> {cell.attempt.log} <=="
    assert (lines[1], lines[-1], len(lines)) == ("line 100", "line 299", 201)
    code, out, _ = run("logs", cell.cell.evaluate_key, "-n", "0", "--json")
    document = json.loads(out)
    assert document["logs"][0]["text"].count("\n") == 300


def test_a_cell_without_a_log_says_why(run, cell):
    cell.attempt.fail("oom", "12 GB asked for")
    code, out, err = run("logs", "pretrain", "masked")
    assert (code, out) == (Exit.INCOMPLETE, "")
    assert err == "pretrain masked seed 0 has no log yet: it is missing\n"


def test_following_prints_what_is_added_until_the_end(run, cell, monkeypatch):
    looks = []

    def sleep(_):
        looks.append(len(looks))
        if len(looks) == 2:
            with cell.attempt.log.open("a") as log:
                log.write("line 300\n")
            cell.attempt.fail("code", "nan loss")

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: 4.0 * len(looks))
    monkeypatch.setattr(logs, "time", clock)
    code, out, _ = run("logs", "-f", "-n", "2", cell.cell.evaluate_key)
    assert code == Exit.DONE
    assert out.splitlines()[1:] == [
        "line 298", "line 299", "line 300", "==> failed: code: nan loss <==",
    ]  # fmt: skip


def test_predict_takes_a_cell_that_is_done(run, cell, tmp_path):
    folders = ["--input", str(tmp_path), "--output", str(tmp_path / "out")]
    code, _, err = run("predict", "pretrain", "masked", *folders)
    assert code == Exit.USAGE
    assert "pretrain masked seed 0 is a pretraining: name a cell" in err
    code, _, err = run("predict", cell.cell.evaluate_key, *folders)
    assert code == Exit.USAGE
    assert f"node {cell.cell.adapt_key[:16]} is not done" in err
    assert not (tmp_path / "out").exists()
