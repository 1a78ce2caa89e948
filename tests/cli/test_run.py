"""`harness run` and `harness status` on jobs that need no torch."""

import importlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli import main
from harness.schema.errors import Exit
from harness.submit import local
from harness.submit.backend import Failure, Outcome
from harness.submit.inline import Inline

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
        pretrainings={}, analyses=(),
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

    run.written, run.reported, run.plan = written, reported, plan
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


@pytest.mark.parametrize(
    ("words", "jobs", "nodes"), [((), 3, 5), (("--until", "pretrain"), 1, 1)]
)
def test_a_run_can_stop_after_the_pretrainings(
    command, workshop, monkeypatch, words, jobs, nodes
):
    pretraining = workshop.pretrain("p")
    workshop.cell("one", pretraining), workshop.cell("two")
    monkeypatch.setattr(
        commands, "make_backend",
        lambda _, store, *__: local.Local(store, workers=1, runner=RUNNER),
    )  # fmt: skip
    assert command("run", *words) == Exit.DONE
    assert command.written == [jobs]
    done = workshop.store.done().keys()
    assert done >= set(pretraining.nodes)
    assert len(done) == nodes


def test_pretrainings_that_are_done_say_so(command, workshop, capsys):
    workshop.cell("waits for nothing")
    assert command("run", "--until", "pretrain") == Exit.DONE
    assert "all 0 pretrainings are done already" in capsys.readouterr().err
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


@pytest.fixture
def shims(tmp_path, monkeypatch):
    """Programs of SLURM that say what a test tells them; `calls` holds their words."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(**programs):
        for name, text in programs.items():
            path = folder / name
            path.write_text(
                f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/calls\n{text}\n'
            )
            path.chmod(0o755)

    write(sbatch="echo job 42", squeue="exit 0", srun="exit 1", scontrol="exit 1",
          sacct="exit 1", scancel="exit 0")  # fmt: skip
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    write.calls = lambda name: [
        line for line in (tmp_path / "calls").read_text().splitlines()
        if line.startswith(name)
    ]  # fmt: skip
    return write


def tree(workshop):
    return sorted(workshop.store.root.rglob("*"))


@pytest.mark.parametrize("cluster", ["slurm", "local", "inline"])
def test_a_dry_run_prints_everything_and_writes_nothing(
    command, workshop, shims, capsys, cluster
):
    workshop.cell("c", workshop.pretrain("p"))
    before = tree(workshop)
    assert command("run", "--cluster", cluster, "--dry-run") == Exit.DONE
    text = capsys.readouterr().out
    assert "[0] p\n" in text
    assert "dry run: nothing was written or submitted; 2 jobs would be" in text
    if cluster == "slurm":
        assert "cell.0: 1 job, after afterok:ID_OF_pretrain.0" in text
        assert "    | #SBATCH --dependency=afterok:ID_OF_pretrain.0\n" in text
    assert tree(workshop) == before
    assert command.written == []
    assert command("run", "--cluster", cluster, "--dry-run", "--json") == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert sum(len(each["elements"]) for each in document["planned"]) == 2


def test_a_dry_run_needs_no_slurm(command, workshop, monkeypatch, tmp_path, capsys):
    workshop.cell("c")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("run", "--cluster", "slurm", "--dry-run") == Exit.DONE
    assert "#SBATCH --job-name=cell.0" in capsys.readouterr().out


def test_resume_goes_on_where_and_with_what_the_last_run_went(
    command, workshop, shims, tmp_path, capsys
):
    workshop.cell("c")
    config = tmp_path / "config" / "medssl-bench"
    config.mkdir(parents=True)
    (config / "clusters.yaml").write_text("clusters: {lab: {account: a1, mem: 2G}}")
    words = ["--cluster", "slurm", "--profile", "lab", "--mem", "3G", "--time", "1-0"]
    assert command("run", *words) == Exit.DONE
    assert command("resume", "--dry-run", "--time", "2-0") == Exit.DONE
    text = capsys.readouterr().out
    for option in ("account=a1", "mem=3072M", "time=2880"):
        assert f"#SBATCH --{option}\n" in text
    assert len(shims.calls("sbatch")) == 1
    assert command("resume") == Exit.DONE  # nothing is queued any more
    assert len(shims.calls("sbatch")) == 2
    [last] = list(
        (workshop.store.root / "submissions").glob("*/cell.0/42_submission.sh")
    )[-1:]
    assert "#SBATCH --account=a1" in last.read_text()


def test_resume_leaves_its_own_fault_and_says_why_once(command, workshop, capsys):
    for number in range(4):
        workshop.cell(f"c{number}", do="fail")
    assert Inline(workshop.store, runner=RUNNER).run(workshop.jobs).failed
    capsys.readouterr()
    assert command("resume", "--dry-run") == Exit.DONE
    text = capsys.readouterr().out
    assert "4 jobs would not be submitted:" in text
    assert text.count("told to fail") == 1
    assert "c0 and 3 more: code: told to fail (its own fault: mend it" in text
    assert command("retry", "--dry-run") == Exit.DONE
    assert "4 jobs would be" in capsys.readouterr().out


def test_cancel_says_what_it_does(command, workshop, shims, capsys, monkeypatch):
    cancelling = importlib.import_module("harness.cli.cancel")
    monkeypatch.setattr("harness.matrix.load", lambda *_, **__: None)
    monkeypatch.setattr(cancelling, "open_store", lambda *_: workshop.store)
    workshop.cell("c")
    command.plan.todo, command.plan.unpublished = workshop.cells, set()
    assert command("cancel") == Exit.DONE
    assert capsys.readouterr().out == "0 jobs cancelled\n"
    assert command("run", "--cluster", "slurm") == Exit.DONE
    [record] = (workshop.store.root / "submissions").glob("*.json")
    shims(squeue=f"echo '42|RUNNING|None|{record.stem}|cell.0'")
    assert command("cancel", "--dry-run") == Exit.DONE
    assert capsys.readouterr().out == "1 job would be cancelled: 42\n"
    assert command("cancel", "--json") == Exit.DONE
    assert json.loads(capsys.readouterr().out)["cancelled"] == ["42"]
    assert shims.calls("scancel") == ["scancel 42"]
    shims(scancel="echo 'scancel: error: Access denied' >&2; exit 1")
    assert command("cancel") == Exit.USAGE
    assert "scancel failed: scancel: error: Access denied" in capsys.readouterr().err
    shims(squeue="exit 1")
    assert command("cancel") == Exit.USAGE
    assert "SLURM does not answer (squeue failed)" in capsys.readouterr().err


def test_a_controller_that_is_down_keeps_run_from_submitting(
    command, workshop, shims, capsys
):
    workshop.cell("c")
    shims(squeue="exit 1")
    assert command("run", "--cluster", "slurm") == Exit.USAGE
    assert "SLURM does not answer (squeue failed), so it is" in capsys.readouterr().err
    assert list((workshop.store.root / "submissions").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mem", "lots"), "--mem: 'lots' is not a memory size: expected one such as"),
        (("--partition", "a b"), "--partition: 'a b' cannot stand in an sbatch script"),
        (("--account", "x\n#SBATCH --uid=0"), "cannot stand in an sbatch script"),
        (("--profile", "nowhere"), "--profile: unknown profile 'nowhere'."),
    ],
)
def test_options_are_checked_as_profiles_are(command, shims, capsys, words, message):
    assert command("run", "--cluster", "slurm", *words) == Exit.USAGE
    assert message in capsys.readouterr().err


def publish(store, job):
    for key in job.nodes:
        attempt = store.begin(key, {}, made_by={})
        attempt.path("result.txt").write_text("x")
        attempt.publish()


def test_watching_tries_again_what_the_machine_failed(
    command, workshop, shims, capsys, monkeypatch
):
    workshop.cell("lost"), workshop.cell("own")
    rounds = []

    def run(jobs):
        rounds.append([job.label for job in jobs])
        failed = []
        for job in jobs:
            if job.label == "lost" and len(rounds) == 3:
                publish(workshop.store, job)
                continue
            kind = {"lost": "oom", "own": "code"}[job.label]
            workshop.store.begin(job.nodes[0], {}, made_by={}).fail(kind, "x")
            failed.append(Failure(job.name, job.label, kind, ""))
        return Outcome(done=() if failed else (jobs[0].name,), failed=tuple(failed))

    backend = SimpleNamespace(check=lambda: None, run=run)
    monkeypatch.setattr(commands, "make_backend", lambda *_: backend)
    words = ["run", "--cluster", "slurm", "--watch"]
    assert command(*words) == Exit.FAILED
    assert rounds == [["lost", "own"], ["lost"], ["lost"]]
    said = capsys.readouterr().err
    assert said.count("1 job that the machine failed or kept: submitted again") == 2
    assert "1 jobs done" in said
    assert "1 job failed:\n  own: code\n" in said
