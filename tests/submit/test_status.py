import json

import pytest

from harness.schema.errors import Exit
from harness.submit import squeue
from harness.submit.records import Array, Submission, Submissions
from harness.submit.squeue import Queued
from harness.submit.status import status


def publish(store, key):
    attempt = store.begin(key, {}, made_by={})
    attempt.path("result.txt").write_text("x")
    attempt.publish()


@pytest.fixture
def queue(monkeypatch):
    """What squeue says; None: there is no SLURM here."""
    rows = {"now": None}
    monkeypatch.setattr(squeue, "ask", lambda: rows["now"])
    return rows


def submitted(workshop, jobs, job_id="7", backend="slurm", state="submitted"):
    array = Array.of("cell.0", [(job,) for job in jobs])
    submissions = Submissions(workshop.store.root)
    record = submissions.new(backend, [array])
    record.arrays[0].job_id, record.state = job_id, state
    submissions.write(record)
    return record


def state_of(workshop, job):
    found = status(workshop.cells, workshop.store)
    [row] = [r for r in (*found.cells, *found.pretrainings) if r.key == job.name]
    return row.state, row.reason


def test_each_state_is_told_from_files_alone(workshop, queue):
    store = workshop.store
    done, failed, missing = (workshop.cell(name) for name in ("done", "bad", "missing"))
    bad = workshop.pretrain("parent")
    blocked = workshop.cell("blocked", bad)
    half = workshop.cell("half")
    running = workshop.cell("running")
    for key in done.nodes:
        publish(store, key)
    publish(store, half.nodes[0])
    store.begin(failed.nodes[0], {}, made_by={}).fail("oom", "too\n big")
    # The evaluation of a model that was not trained is blocked: not the reason.
    store.begin(failed.nodes[1], {}, made_by={}).fail("blocked", "no model")
    store.begin(bad.nodes[0], {}, made_by={}).fail("code", "nan loss")
    alive = store.begin(running.nodes[0], {}, made_by={})
    assert state_of(workshop, done) == ("done", "")
    assert state_of(workshop, failed) == ("failed", "oom: too big")
    assert state_of(workshop, missing) == ("missing", "")
    assert state_of(workshop, half) == ("missing", "")
    assert state_of(workshop, running) == ("running", "")
    assert state_of(workshop, bad) == ("failed", "code: nan loss")
    state, reason = state_of(workshop, blocked)
    assert state == "blocked"
    assert reason.endswith(f"{bad.name} is failed: code: nan loss")
    found = status(workshop.cells, store)
    assert found.exit == Exit.FAILED
    assert found.slurm_answers is False
    text = found.to_text()
    assert "1 of 6 cells done" in text
    assert "failed: bad toy finetune 100% seed 0: oom: too big" in text
    assert json.loads(json.dumps(found.to_json()))["counts"] == {
        "done": 1, "running": 1, "pending": 0, "failed": 1, "blocked": 1, "lost": 0,
        "missing": 2,
    }  # fmt: skip
    alive.fail("code", "end of the test")


def test_what_slurm_has_queued_stands_above_old_failures(workshop, queue):
    job = workshop.cell("c")
    workshop.store.begin(job.nodes[0], {}, made_by={}).fail("code", "old")
    record = submitted(workshop, [job])
    for slurm_state, expected in [("PENDING", "pending"), ("RUNNING", "running")]:
        queue["now"] = [Queued("7", slurm_state, "None", record.id, "cell.0")]
        assert state_of(workshop, job) == (expected, "")
    queue["now"] = [Queued("7", "PENDING", "DependencyNeverSatisfied", record.id, "n")]
    assert state_of(workshop, job)[0] == "blocked"


def test_a_job_that_left_the_queue_without_a_word_is_lost_with_what_slurm_wrote(
    workshop, queue
):
    jobs = [workshop.cell("a"), workshop.cell("b")]
    record = submitted(workshop, jobs)
    queue["now"] = []
    expected = "it left SLURM's queue without a result"
    assert state_of(workshop, jobs[0]) == ("lost", expected)
    log = workshop.store.root / "submissions" / record.id / "cell.0" / "7_1_0_log.out"
    log.parent.mkdir(parents=True)
    log.write_text(
        "training\nslurmstepd-n1: error: *** JOB 7 ON n1 CANCELLED AT 10:00 DUE TO TIME"
        " LIMIT ***\nsrun: error: n1: task 0: Killed\n"
    )
    state, reason = state_of(workshop, jobs[1])
    assert (state, reason) == (
        "lost", "JOB 7 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT",
    )  # fmt: skip
    queue["now"] = None  # nobody can know: SLURM does not answer
    assert state_of(workshop, jobs[0])[0] == "pending"


def test_an_id_of_another_controller_is_not_mistaken_for_ours(workshop, queue):
    job = workshop.cell("c")
    submitted(workshop, [job])
    queue["now"] = [Queued("7", "RUNNING", "None", "somebody else's", "cell.0")]
    assert state_of(workshop, job)[0] == "lost"


def test_ids_lost_between_sbatch_and_the_record_are_found_by_the_comment(
    workshop, queue
):
    jobs = [workshop.cell("a"), workshop.cell("b")]
    record = submitted(workshop, jobs, job_id=None, state="intent")
    queue["now"] = []
    assert state_of(workshop, jobs[1])[0] == "missing"  # sbatch was never reached
    queue["now"] = [Queued("31_1", "RUNNING", "None", record.id, "cell.0")]
    assert state_of(workshop, jobs[1])[0] == "running"


def test_jobs_of_a_local_run_wait_while_it_is_alive(workshop, queue):
    job = workshop.cell("c")
    record = submitted(workshop, [job], backend="local", state="intent")
    assert state_of(workshop, job)[0] == "pending"
    record.pid = 2**22 + 1  # above the largest process id
    Submissions(workshop.store.root).write(record)
    assert state_of(workshop, job)[0] == "missing"


def test_the_time_left_is_the_mean_of_published_cells_over_what_runs(workshop, queue):
    jobs = [workshop.cell(f"c{i}") for i in range(5)]
    for key in jobs[0].nodes:
        publish(workshop.store, key)
    path = workshop.store.root / "done" / jobs[0].nodes[1][:2] / f"{jobs[0].name}.json"
    manifest = json.loads(path.read_text())
    manifest["run"]["wall_s"] = 60.0
    path.write_text(json.dumps(manifest))
    record = submitted(workshop, jobs[1:])
    queue["now"] = [
        Queued(f"7_{i}", "RUNNING" if i < 2 else "PENDING", "None", record.id, "cell.0")
        for i in range(4)
    ]
    eta = status(workshop.cells, workshop.store).eta_s
    assert eta == pytest.approx(4 * 60 / 2, abs=3)


def test_a_record_of_a_dead_process_is_not_alive():
    assert not Submission("x", "local", [], pid=2**22 + 1).alive
