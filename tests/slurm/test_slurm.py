import json
import os
import shutil
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from stub_runner import RUNNER

from harness.matrix.profiles import Profile
from harness.schema.errors import Exit, UserError
from harness.schema.identity import short
from harness.store.lock import Lock
from harness.submit import squeue
from harness.submit.records import Submissions
from harness.submit.sbatch import Sbatch
from harness.submit.slurm import Slurm
from harness.submit.status import status
from harness.submit.watch import Watch


def backend(workshop, **settings):
    said = settings.pop("said", [])
    settings.setdefault("poll_s", (0.2, 0.5))
    return Slurm(workshop.store, runner=RUNNER, say=said.append, **settings)


def states(workshop):
    """{label of a job: its row of the status}."""
    found = status(workshop.cells, workshop.store)
    labels = {job.name: job.label for job in workshop.jobs}
    rows = (*found.cells, *found.pretrainings)
    return {labels.get(row.key, row.key): row for row in rows}


def record_of(workshop):
    [path] = (workshop.store.root / "submissions").glob("*.json")
    return json.loads(path.read_text())


def exit_code(job_id):
    """Return the exit code that the controller remembers of a finished job."""
    text = subprocess.run(
        ["scontrol", "show", "job", job_id], capture_output=True, text=True, check=True
    ).stdout
    return text.partition("ExitCode=")[2].partition(":")[0]


def test_jobs_are_submitted_in_order_and_run_returns_at_once(
    slurm, workshop, queue, drained
):
    first, second = workshop.pretrain("a"), workshop.pretrain("b")
    for name, parent in [("c1", first), ("c2", first), ("c3", second), ("free", None)]:
        workshop.cell(name, parent)
    said = []
    commands = ["harness status", "harness report"]
    start = time.monotonic()
    outcome = backend(workshop, said=said, next_commands=commands).run(workshop.jobs)
    assert time.monotonic() - start < 5
    assert outcome.exit == Exit.DONE
    assert sorted(outcome.queued) == sorted(job.name for job in workshop.jobs)
    record = record_of(workshop)
    assert record["state"] == "submitted"
    arrays = {array["name"]: array for array in record["arrays"]}
    assert [len(array["jobs"]) for array in arrays.values()] == [2, 1, 2, 1]
    assert (
        f"submitted 6 jobs in 4 arrays: {arrays['pretrain.0']['job_id']}, " in said[0]
    )
    assert said[1:] == ["  harness status", "  harness report"]
    drained()
    lines = [(what, label) for what, label, *_ in workshop.events()]
    for cell, parent in [("c1", "a"), ("c2", "a"), ("c3", "b")]:
        started = lines.index(("start", f"adapt:{cell}"))
        assert started > lines.index(("end", f"pretrain:{parent}"))
    assert {row.state for row in states(workshop).values()} == {"done"}
    assert status(workshop.cells, workshop.store).exit == Exit.DONE
    log = next((workshop.store.root / "submissions").rglob("*_log.out"))
    assert "output of the job" in log.read_text()


def test_cells_wait_for_exactly_the_elements_that_they_need(slurm, workshop, queue):
    first = workshop.pretrain("a", do="sleep")
    second = workshop.pretrain("b", do="sleep")
    workshop.cell("c1", first), workshop.cell("c2", second)
    done = workshop.node("pretrain", "done", {}, "ok")
    attempt = workshop.store.begin(done, {}, made_by={})
    attempt.path("result.txt").write_text("weights")
    attempt.publish()
    workshop.cell("late", done)
    backend(workshop).run(workshop.jobs)
    arrays = {array["name"]: array["job_id"] for array in record_of(workshop)["arrays"]}
    pretrainings = arrays.pop("pretrain.0")
    waits = {job_id: dependency for job_id, _, _, _, dependency in queue()}
    needs = sorted(waits[job_id] for job_id in arrays.values() if job_id in waits)
    expected = [f"afterok:{pretrainings}_{i}(unfulfilled)" for i in (0, 1)]
    assert [need for need in needs if "afterok" in need] == expected
    script = (workshop.store.root / "submissions").rglob("cell.*/*_submission.sh")
    texts = [path.read_text() for path in script]
    assert sum("--kill-on-invalid-dep=yes" in text for text in texts) == 2
    assert sum("--dependency=" in text for text in texts) == 2


def test_a_failed_pretraining_cancels_its_cells_and_status_says_so(
    slurm, workshop, drained
):
    bad = workshop.pretrain("bad", do="fail")
    good = workshop.pretrain("good")
    workshop.cell("orphan", bad), workshop.cell("child", good)
    outcome = backend(workshop, wait=True).run(workshop.jobs)
    assert outcome.exit == Exit.FAILED
    assert [failure.label for failure in outcome.failed] == ["bad"]
    assert outcome.failed[0].reason == "code: told to fail"
    assert [failure.label for failure in outcome.blocked] == ["orphan"]
    assert len(outcome.done) == 2
    drained()
    found = states(workshop)
    assert found["orphan"].state == "blocked"
    assert "code: told to fail" in found["orphan"].reason
    assert found["child"].state == "done"
    assert (found["bad"].state, found["bad"].reason) == ("failed", "code: told to fail")
    assert Path(found["bad"].log).exists()
    assert "adapt:orphan" not in workshop.started()


def test_a_worker_whose_input_is_missing_is_blocked_with_exit_code_75(
    slurm, workshop, drained
):
    # SLURM starts a job at once that waits for an id which it no longer knows.
    cell = workshop.cell("c", workshop.node("pretrain", "elsewhere", {}, "ok"))
    hasty = replace(cell, after=())
    outcome = backend(workshop, wait=True).run([hasty])
    assert [failure.name for failure in outcome.blocked] == [cell.name]
    [attempt] = workshop.store.attempts(cell.nodes[0])
    assert (attempt["state"], attempt["error_class"]) == ("blocked", "blocked")
    assert exit_code(record_of(workshop)["arrays"][0]["job_id"]) == str(
        int(Exit.BLOCKED)
    )


def test_the_intent_is_on_disk_before_sbatch_and_a_lost_id_is_found_again(
    slurm, workshop, tmp_path, monkeypatch, queue
):
    """sbatch notes what it finds, submits, and dies before it can tell the id."""
    workshop.cell("c", do="sleep")
    seen = tmp_path / "seen.json"
    shim = tmp_path / "bin" / "sbatch"
    shim.parent.mkdir()
    shim.write_text(
        f"#!/bin/sh\ncp {workshop.store.root}/submissions/*.json {seen}\n"
        f'{shutil.which("sbatch")} "$@" > /dev/null\necho "lost" >&2\nexit 1\n'
    )
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(Sbatch, "_taken", lambda *_: None)  # as if it died here
    with pytest.raises(UserError, match=r"sbatch refused cell.0: lost \(0 of 1 jobs"):
        backend(workshop).run(workshop.jobs)
    intent = json.loads(seen.read_text())
    assert intent["state"] == "intent"
    assert intent["arrays"][0] == {
        "name": "cell.0", "jobs": [workshop.jobs[0].name], "job_id": None,
        "time_min": 240, "mem": None,
        "nodes": [[short(key) for key in workshop.jobs[0].nodes]],
    }  # fmt: skip
    [(_, name, _, comment, _)] = queue()
    assert (name, comment) == ("cell.0", intent["id"])
    assert states(workshop)["c"].state in {"pending", "running"}
    monkeypatch.undo()
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    backend(workshop).run(workshop.jobs)
    assert len(queue()) == 1


def test_what_is_queued_is_not_submitted_again(slurm, workshop, queue, drained):
    parent = workshop.pretrain("p", do="sleep")
    workshop.cell("c1", parent)
    backend(workshop).run(workshop.jobs)
    before = sorted(queue("%i"))
    assert len(before) == 2
    said = []
    again = backend(workshop, said=said).run(workshop.todo())
    assert sorted(queue("%i")) == before
    assert len(again.queued) == 2
    assert said == ["2 jobs queued already, left as they are"]
    # A new cell waits for the pretraining that is queued.
    new = workshop.cell("c2", parent)
    backend(workshop).run(workshop.todo())
    dependencies = [dependency for _, _, _, _, dependency in queue()]
    assert dependencies.count(f"afterok:{_id_of(workshop, parent)}(unfulfilled)") == 2
    found = states(workshop)
    assert found["c2"].state == "pending"
    records = Submissions(workshop.store.root).all()
    assert new.name in squeue.find_nodes(records, squeue.ask())


def _id_of(workshop, job):
    queued = squeue.find_nodes(Submissions(workshop.store.root).all(), squeue.ask())
    return queued[job.name].job_id


def test_arrays_keep_to_the_size_that_the_site_allows(slurm, workshop, drained):
    assert squeue.limits().array == 3
    for number in range(7):
        workshop.cell(f"c{number}")
    outcome = backend(workshop, wait=True).run(workshop.jobs)
    assert [len(array["jobs"]) for array in record_of(workshop)["arrays"]] == [3, 3, 1]
    assert outcome.exit == Exit.DONE
    assert len(outcome.done) == 7


def test_a_cancelled_job_is_lost_and_is_submitted_again(
    slurm, workshop, queue, drained
):
    killed = workshop.cell("killed", do="sleep")
    workshop.cell("waiting", workshop.pretrain("p", do="sleep"))
    backend(workshop).run(workshop.jobs)
    end = time.monotonic() + 20
    while states(workshop)["killed"].state != "running" or not (
        workshop.store.attempts(killed.nodes[0])
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
    subprocess.run(["scancel", "--me"], check=True)
    drained()
    found = states(workshop)
    assert found["killed"].state == "lost"
    assert "CANCELLED" in found["killed"].reason
    assert found["p"].state in {"lost", "missing"}
    assert status(workshop.cells, workshop.store).exit == Exit.FAILED
    again = backend(workshop).run(workshop.todo())
    assert len(again.queued) == 3
    assert len(queue()) == 3


def test_a_refusal_of_sbatch_is_one_sentence(slurm, workshop):
    workshop.cell("c")
    profile = Profile(partition="nowhere")
    with pytest.raises(UserError, match=r"sbatch refused cell.0: .*nvalid partition"):
        backend(workshop, profile=profile).run(workshop.jobs)
    assert states(workshop)["c"].state == "missing"


def test_cores_asked_for_reach_the_job(slurm, workshop, drained):
    workshop.cell("c")
    profile = Profile(cpus=3, mem="100M", time=5)
    backend(workshop, profile=profile, wait=True).run(workshop.jobs)
    assert {threads for *_, threads in workshop.events()} == {"3"}


def test_two_submissions_at_once_are_refused(slurm, workshop):
    workshop.cell("c")
    submissions = Submissions(workshop.store.root)
    lock = Lock(submissions.root / ".lock")
    waiting = backend(workshop)
    with lock.held(), pytest.raises(UserError, match="another `harness run`"):
        waiting._lock._wait(0.3, lambda _: None)
    assert len(backend(workshop).run(workshop.jobs).queued) == 1


def test_a_controller_that_is_down_is_waited_for(slurm, workshop, monkeypatch, drained):
    workshop.cell("c")
    backend(workshop).run(workshop.jobs)
    drained()
    monkeypatch.setattr(squeue, "ask", _silent_twice(squeue.ask))
    outcome = Watch(workshop.jobs, workshop.store, poll_s=(0.05, 0.05)).run()
    assert outcome.exit == Exit.DONE


def _silent_twice(real):
    calls = []

    def ask(*_):
        calls.append(1)
        return None if len(calls) <= 2 else real(*_)

    return ask
