"""Why a cell is not done: what is known of it, and what to do next."""

import json
import os
import time

import pytest

from harness.plan.find import Target
from harness.submit import jobinfo, squeue
from harness.submit.records import Array, Submissions
from harness.submit.squeue import Queued
from harness.submit.states import Observer
from harness.submit.why import ADVICE, explain, logs_of


@pytest.fixture
def queue(monkeypatch):
    """What squeue says; None: there is no SLURM here."""
    rows = {"now": None}
    monkeypatch.setattr(squeue, "ask", lambda *_: rows["now"])
    return rows


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Programs of our own on PATH: tools(name, text) prints the text."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name, text, code=0):
        (folder / "said").mkdir(exist_ok=True)
        (folder / "said" / name).write_text(text)
        script = folder / name
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {folder}/said/{name}.args\n'
            f"cat {folder}/said/{name}\nexit {code}\n"
        )
        script.chmod(0o755)
        return folder / "said" / f"{name}.args"

    return make


def why(workshop, job, needs=None):
    target = Target(job.nodes[-1], job.label, job.nodes, needs, frozenset())
    return explain(target, Observer(workshop.store))


def submitted(workshop, jobs, job_id="7"):
    record = Submissions(workshop.store.root).new(
        "slurm", [Array.of("cell.0", [(job,) for job in jobs])]
    )
    record.arrays[0].job_id, record.state = job_id, "submitted"
    Submissions(workshop.store.root).write(record)
    return record


def test_a_failure_shows_every_attempt_its_error_and_what_to_do(workshop, queue):
    job = workshop.cell("a")
    store = workshop.store
    store.begin(job.nodes[0], {}, made_by={}).fail("interrupted", "somebody stopped it")
    attempt = store.begin(job.nodes[0], {}, made_by={})
    attempt.log.write_text("step 1\n")
    try:
        raise ZeroDivisionError("of the loss")  # noqa: EM101
    except ZeroDivisionError as error:
        attempt.fail("code", "division by zero", error=error)
    store.begin(job.nodes[1], {}, made_by={}).fail("blocked", "no model")
    found = why(workshop, job)
    text = found.to_text()
    assert text.splitlines()[1:3] == [
        "failed: code: division by zero", f"next: {ADVICE['code']}",
    ]  # fmt: skip
    assert "attempt 1 at adapt: failed" in text
    assert "interrupted: somebody stopped it" in text
    assert "attempt 2 at adapt: failed" in text
    assert f"log: {attempt.log}" in text
    assert "  | ZeroDivisionError: of the loss" in text
    assert f"spec: {store.node_dir(job.nodes[0]) / 'spec.json'}" in text
    document = json.loads(json.dumps(found.to_json()))
    assert [one["state"] for one in document["attempts"]] == [
        "failed",
        "failed",
        "blocked",
    ]
    assert document["nodes"][0]["why"] == "never published"


@pytest.mark.parametrize("error_class", ["oom", "timeout", "disk_full", "data", "code"])
def test_each_class_of_error_has_its_advice(workshop, queue, error_class):
    job = workshop.cell("a")
    workshop.store.begin(job.nodes[0], {}, made_by={}).fail(error_class, "it broke")
    assert why(workshop, job).advice == ADVICE[error_class]


def test_every_error_class_has_advice():
    from typing import get_args

    from harness.store.records import ErrorClass
    from harness.submit.failures import Kind

    assert set(get_args(ErrorClass)) | set(get_args(Kind)) == set(ADVICE)


def test_a_blocked_cell_points_to_its_pretraining(workshop, queue):
    parent = workshop.pretrain("p")
    job = workshop.cell("a", parent)
    workshop.store.begin(parent.nodes[0], {}, made_by={}).fail("oom", "too big")
    found = why(workshop, job, needs=parent.nodes[0])
    assert found.standing.state == "blocked"
    assert f"`harness why {parent.name}`" in found.advice
    assert "oom: too big" in found.standing.reason


def test_states_without_an_error_say_what_happens_next(workshop, queue):
    missing, done, running = (workshop.cell(name) for name in ("m", "d", "r"))
    for key in done.nodes:
        attempt = workshop.store.begin(key, {}, made_by={})
        attempt.path("out.txt").write_text("x")
        attempt.publish()
    alive = workshop.store.begin(running.nodes[0], {}, made_by={})
    assert (
        why(workshop, missing).advice == "`harness run` or `harness resume` starts it"
    )
    found = why(workshop, done)
    assert found.advice == "nothing: it is published"
    assert "evaluate " in found.to_text()
    assert "published 20" in found.to_text()
    assert f"`harness logs {running.name} -f`" in why(workshop, running).advice
    alive.fail("code", "end of the test")


def test_what_slurm_says_of_the_job_is_shown(workshop, queue, tools):
    job = workshop.cell("a")
    record = submitted(workshop, [job])
    tools("scontrol", "JobId=7 JobName=cell.0 UserId=me(1) JobState=PENDING "
          "Reason=Resources ExitCode=0:0 TimeLimit=04:00:00 NodeList=(null)\n")  # fmt: skip
    queue["now"] = [Queued("7", "PENDING", "Resources", record.id, "cell.0")]
    found = why(workshop, job)
    assert found.slurm == {
        "State": "PENDING", "Reason": "Resources", "JobState": "PENDING",
        "ExitCode": "0:0", "TimeLimit": "04:00:00",
    }  # fmt: skip
    text = found.to_text()
    assert "pending: SLURM: Resources" in text
    assert f"submission {record.id} on slurm by {record.user} job 7" in text


def test_with_accounting_a_job_that_slurm_forgot_is_looked_up(workshop, queue, tools):
    job = workshop.cell("a")
    record = submitted(workshop, [job])
    queue["now"] = []
    tools("scontrol", "slurm_load_jobs error: Invalid job id specified", code=1)
    asked = tools("sacct", "OUT_OF_MEMORY|0:125|00:01:00|04:00:00||n1\n"
                  "OUT_OF_MEMORY|0:125|00:01:00||1024K|n1\n")  # fmt: skip
    found = why(workshop, job).slurm
    assert found["State"] == "OUT_OF_MEMORY"
    assert found["MaxRSS"] == "1024K"
    assert "--jobs=7 " in asked.read_text()
    # By itself sacct looks no further back than midnight.
    day = time.strftime("%Y-%m-%d", time.localtime(record.created - 86_400))
    assert f"--starttime={day}T" in asked.read_text()


def test_without_accounting_nothing_is_made_up(workshop, queue, tools):
    job = workshop.cell("a")
    submitted(workshop, [job])
    queue["now"] = []
    tools("scontrol", "slurm_load_jobs error: Invalid job id specified", code=1)
    tools("sacct", "Slurm accounting storage is disabled", code=1)
    found = why(workshop, job)
    assert found.slurm == {}
    assert found.standing.state == "lost"
    assert found.advice == ADVICE["cancelled"]  # it has no log: it never started
    assert jobinfo.of_job("7; rm -rf /", 0.0) == {}


def test_logs_are_the_jobs_and_the_attempts(workshop, queue):
    job = workshop.cell("a")
    record = submitted(workshop, [job])
    target = Target(job.nodes[-1], job.label, job.nodes, None, frozenset())
    assert logs_of(target, Observer(workshop.store)) == []
    place = Observer(workshop.store).place(job.name)
    out = Submissions(workshop.store.root).log_of(place)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("stdout\n")
    assert record.id in str(out)
    attempts = []
    for number in range(2):
        attempt = workshop.store.begin(job.nodes[0], {}, made_by={})
        attempt.log.write_text(f"attempt {number}\n")
        attempt.fail("code", "it broke")
        attempts.append(attempt.log)
    assert logs_of(target, Observer(workshop.store)) == [out, attempts[1]]
    assert logs_of(target, Observer(workshop.store), every=True) == [out, *attempts]
