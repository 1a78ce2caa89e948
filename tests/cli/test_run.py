"""`harness run` and `harness status` on jobs that need no torch."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import main
from harness.schema.errors import Exit
from harness.submit import local
from harness.submit.backend import Outcome

STUBS = Path(__file__).parents[1] / "submit"
ROOT = STUBS.parents[1]
commands = importlib.import_module("harness.cli.run")
backends = importlib.import_module("harness.cli.backends")
RUNNER = "stub_runner:run_nodes"


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUBS))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{STUBS}")
    return importlib.import_module("stub_runner").Workshop(tmp_path / "results")


@pytest.fixture
def command(workshop, monkeypatch):
    """Run `harness <words>` on the workshop's jobs; return the exit code."""
    written, reported = [], []
    plan = SimpleNamespace(
        cells=workshop.cells, jobs=workshop.todo, done=[], pretrained=set(), published={},
        write_specs=lambda _, jobs: written.append(len(jobs)),
        matrix=SimpleNamespace(
            clusters={}, content=SimpleNamespace(roots=(ROOT,))
        ),
    )  # fmt: skip
    monkeypatch.setattr(commands, "_plan", lambda _: (plan, workshop.store))
    monkeypatch.setattr(commands, "_prepare", lambda *_: None)
    monkeypatch.setattr(
        commands, "_report", lambda args: reported.append(str(args.benchmark))
    )
    status = importlib.import_module("harness.cli.status")
    monkeypatch.setattr(status, "open_matrix", lambda _: None)
    monkeypatch.setattr(status, "open_store", lambda *_: workshop.store)
    monkeypatch.setattr("harness.plan.make_plan", lambda *_: plan)

    def run(*words):
        return main(words)

    run.written, run.reported = written, reported
    return run


def test_sbatch_missing_is_one_sentence_and_nothing_is_written(
    command, workshop, monkeypatch, tmp_path, capsys
):
    workshop.cell("c")
    before = sorted(workshop.store.root.rglob("*"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("run", "--cluster", "slurm") == Exit.USAGE
    assert "needs SLURM's sbatch, which is not on PATH" in capsys.readouterr().err
    assert command.written == []
    assert sorted(workshop.store.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--partition", "gpu"), "--partition is for --cluster slurm"),
        (("--cluster", "inline", "--workers", "2"), "--workers is for --cluster local"),
        (("--cluster", "slurm", "--time", "soon"), "'soon' is not a time: expected"),
        (("--cluster", "slurm", "--time", "0"), "'0' is not a time: it must be above"),
    ],
)
def test_options_of_another_backend_are_refused(command, capsys, words, message):
    assert command("run", *words) == Exit.USAGE
    assert message in capsys.readouterr().err


def test_a_benchmark_that_is_done_says_so_and_starts_nothing(command, capsys):
    assert command("run") == Exit.DONE
    assert "all 0 cells are done already" in capsys.readouterr().err
    assert command.written == []


def test_run_and_status_agree_and_json_is_one_document(command, workshop, capsys):
    workshop.cell("good"), workshop.cell("bad", do="fail")
    assert (
        local.Local(workshop.store, workers=1, runner=RUNNER).run(workshop.jobs).failed
    )
    capsys.readouterr()
    assert command("status", "--json") == Exit.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["counts"]["done"] == document["counts"]["failed"] == 1
    assert command("status") == Exit.FAILED
    text = capsys.readouterr().out
    assert "1 of 2 cells done" in text
    assert "code: told to fail" in text


def test_run_prints_what_failed_and_returns_its_exit_code(
    command, workshop, capsys, monkeypatch
):
    workshop.cell("good"), workshop.cell("bad", do="fail")
    monkeypatch.setattr(
        commands, "make_backend",
        lambda _, store, *__: local.Local(store, workers=1, runner=RUNNER),
    )  # fmt: skip
    assert command("run", "--json") == Exit.FAILED
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert (len(document["done"]), document["exit"]) == (1, 1)
    assert document["failed"][0]["reason"] == "code: told to fail"
    assert command.written == [2]


@pytest.mark.parametrize("queued", [(), ("a",)])
def test_tables_are_printed_when_the_jobs_have_ended(
    command, workshop, monkeypatch, queued
):
    workshop.cell("c")
    ended = SimpleNamespace(check=lambda: None, run=lambda _: Outcome(queued=queued))
    monkeypatch.setattr(commands, "make_backend", lambda *_: ended)
    assert command("run", "--report") == Exit.DONE
    assert command.reported == ([] if queued else ["benchmark.yaml"])
    command("run")
    assert len(command.reported) <= 1


def test_the_next_commands_repeat_what_the_user_chose():
    args = SimpleNamespace(benchmark="a b.yaml", results="out", filter=["method=smit"])
    assert backends._next_commands(args)[0] == (
        "harness status -b 'a b.yaml' --results out --filter method=smit"
    )


def test_status_watches_until_nothing_runs_and_its_pipe_stays_clean(
    command, workshop, capsys, monkeypatch
):
    job = workshop.cell("a")
    running = workshop.store.begin(job.nodes[0], {}, made_by={})
    watched = importlib.import_module("harness.cli.status")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        running.fail("code", "nan loss")

    monkeypatch.setattr(watched, "time", SimpleNamespace(sleep=sleep))
    assert command("status", "--watch") == Exit.FAILED
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0].endswith("0 of 1 cells done, 1 running")
    assert any(line.startswith("failed: a toy finetune 100%") for line in lines)
    assert pauses == [watched.REFRESH_S]
    assert command("status", "--watch", "--json") == Exit.FAILED
    assert json.loads(capsys.readouterr().out)["counts"]["failed"] == 1


def test_an_interrupted_watch_is_no_traceback(command, workshop, capsys, monkeypatch):
    job = workshop.cell("a")
    running = workshop.store.begin(job.nodes[0], {}, made_by={})
    watched = importlib.import_module("harness.cli.status")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watched, "time", SimpleNamespace(sleep=interrupt))
    assert command("status", "--watch") == Exit.INCOMPLETE
    assert capsys.readouterr().err == ""
    running.fail("code", "end of the test")
