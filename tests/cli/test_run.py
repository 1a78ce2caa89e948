import argparse
import json
from types import SimpleNamespace

import pytest
from stub_runner import RUNNER

from harness.schema.errors import Exit, UserError
from harness.submit import commands, local
from harness.submit.backend import Outcome


@pytest.fixture
def command(workshop, monkeypatch):
    """Run `harness <words>` on the workshop's jobs; return the exit code."""
    written = []
    plan = SimpleNamespace(
        cells=workshop.cells, jobs=workshop.todo,
        write_specs=lambda _, jobs: written.append(len(jobs)),
    )  # fmt: skip
    monkeypatch.setattr(commands, "_plan", lambda _: (plan, workshop.store))
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-b", "--benchmark", default="benchmark.yaml")
    common.add_argument("--results")
    common.add_argument("--filter", action="append")
    common.add_argument("--json", action="store_true")
    parser = argparse.ArgumentParser()
    reported = []
    commands.add_parsers(
        parser.add_subparsers(),
        parents=[common],
        report=lambda args: reported.append(args.benchmark),
    )

    def run(*words):
        args = parser.parse_args(words)
        return args.handler(args)

    run.written, run.reported = written, reported
    return run


def test_sbatch_missing_is_one_sentence_and_nothing_is_written(
    command, workshop, monkeypatch, tmp_path
):
    workshop.cell("c")
    before = sorted(workshop.store.root.rglob("*"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs SLURM's sbatch, which is not on PATH"):
        command("run", "--cluster", "slurm")
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
def test_options_of_another_backend_are_refused(command, workshop, words, message):
    with pytest.raises(UserError, match=message):
        command("run", *words)


def test_a_benchmark_that_is_done_says_so_and_starts_nothing(command, capsys):
    assert command("run") == Exit.DONE
    assert "all 0 cells are done already" in capsys.readouterr().err
    assert command.written == []


def test_run_and_status_agree_and_json_is_one_document(command, workshop, capsys):
    workshop.cell("good"), workshop.cell("bad", do="fail")
    from harness.submit.local import Local

    assert Local(workshop.store, workers=1, runner=RUNNER).run(workshop.jobs).failed
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
        commands, "_backend",
        lambda _, store: local.Local(store, workers=1, runner=RUNNER),
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
    monkeypatch.setattr(commands, "_backend", lambda *_: ended)
    assert command("run", "--report") == Exit.DONE
    assert command.reported == ([] if queued else ["benchmark.yaml"])
    command("run")
    assert len(command.reported) <= 1


def test_the_next_commands_repeat_what_the_user_chose():
    args = SimpleNamespace(benchmark="a b.yaml", results="out", filter=["method=smit"])
    assert commands._next_commands(args)[0] == (
        "harness status -b 'a b.yaml' --results out --filter method=smit"
    )
