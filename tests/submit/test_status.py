import io
import json
import os

import pytest

from harness.plan.cells import Pretraining
from harness.schema.errors import Exit
from harness.submit import board, squeue
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
    monkeypatch.setattr(squeue, "ask", lambda *_: rows["now"])
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


def attempt_of(workshop, key, job_id, element=0):
    slurm = {"job": "99", "array_job": job_id, "array_task": str(element)}
    return workshop.store.begin(key, {}, made_by={"slurm": slurm})


def test_clocks_that_jump_do_not_hide_why_a_job_failed(workshop, queue):
    jobs = [workshop.cell("a"), workshop.cell("b")]
    record = submitted(workshop, jobs)
    record.created += 7200  # the clock was two hours ahead, and was set back
    Submissions(workshop.store.root).write(record)
    attempt_of(workshop, jobs[0].nodes[0], "7").fail("code", "nan loss")
    queue["now"] = []
    assert state_of(workshop, jobs[0]) == ("failed", "code: nan loss")
    record.created -= 14_400  # and the other way: an attempt of an earlier submission
    Submissions(workshop.store.root).write(record)
    attempt_of(workshop, jobs[1].nodes[0], "6").fail("code", "old")
    expected = ("lost", "it left SLURM's queue without a result")
    assert state_of(workshop, jobs[1]) == expected


def test_a_job_that_slurm_has_ended_is_lost_though_its_heart_beat_just_now(
    workshop, queue
):
    job = workshop.cell("a")
    record = submitted(workshop, [job])
    attempt = attempt_of(workshop, job.nodes[0], "7")
    queue["now"] = [Queued("7", "RUNNING", "None", record.id, "cell.0")]
    assert state_of(workshop, job)[0] == "running"
    queue["now"] = []
    assert state_of(workshop, job)[0] == "lost"
    queue["now"] = None  # SLURM is down: the heart tells
    assert state_of(workshop, job)[0] == "running"
    record.user = "somebody-else"  # whose jobs squeue may not show
    Submissions(workshop.store.root).write(record)
    queue["now"] = []
    assert state_of(workshop, job)[0] == "running"
    attempt.fail("code", "end of the test")


def test_a_requeued_job_waits_and_says_for_what(workshop, queue):
    job = workshop.cell("a")
    record = submitted(workshop, [job])
    attempt_of(workshop, job.nodes[0], "7").fail("interrupted", "preempted")
    queue["now"] = [Queued("7", "PENDING", "BeginTime", record.id, "cell.0")]
    assert state_of(workshop, job) == ("pending", "SLURM: BeginTime")


def test_gpu_hours_count_every_attempt_and_what_is_left(workshop, queue):
    jobs = [workshop.cell(name) for name in ("a", "b", "c")]
    store = workshop.store
    bad = store.begin(jobs[0].nodes[0], {}, made_by={})
    bad.note(device="A100", gpu_h=0.5)
    bad.fail("oom", "too big")
    for key in jobs[0].nodes:
        attempt = store.begin(key, {}, made_by={})
        attempt.note(device="A100", gpu_h=2.0)
        attempt.path("out.txt").write_text("x")
        attempt.publish()
    lost = store.begin(jobs[1].nodes[0], {}, made_by={})
    lost.note(device="A100", gpu_h=0.25)
    lost.fail("interrupted", "killed")
    found = status(workshop.cells, store)
    assert found.gpu_h_spent == pytest.approx(0.5 + 2 + 2 + 0.25)
    assert found.gpu_h_left == pytest.approx(2 * (2 + 2))
    assert "4.75 GPU-hours spent, about 8 to go" in found.to_text()
    document = found.to_json()
    assert document["gpu_h_spent"] == pytest.approx(4.75)
    assert document["gpu_h_left"] == pytest.approx(8)


def test_what_nothing_has_run_like_has_no_time_left_and_no_hours(workshop, queue):
    workshop.cell("a")
    found = status(workshop.cells, workshop.store)
    assert (found.eta_s, found.gpu_h_left, found.gpu_h_spent) == (None, None, 0.0)
    assert "GPU-hours" not in found.to_text()


def test_warnings_of_published_nodes_are_counted(workshop, queue):
    jobs = [workshop.pretrain("m"), workshop.cell("a"), workshop.cell("b")]
    for job in jobs[1:]:
        attempt = workshop.store.begin(job.nodes[0], {}, made_by={})
        attempt.note(warnings=["the embedding collapsed at step 40"])
        attempt.path("out.txt").write_text("x")
        attempt.publish()
    found = status(workshop.cells, workshop.store)
    assert found.warnings == {
        "a: the embedding collapsed at step 40": 1,
        "b: the embedding collapsed at step 40": 1,
    }


def test_a_silent_controller_is_said_where_slurm_is_used(workshop, queue):
    job = workshop.cell("a")
    assert (
        "SLURM does not answer" not in status(workshop.cells, workshop.store).to_text()
    )
    submitted(workshop, [job])
    text = status(workshop.cells, workshop.store).to_text()
    assert "SLURM does not answer: what it has queued is shown as pending" in text


def test_slurm_is_asked_once_for_all_jobs(workshop, monkeypatch):
    asked = []
    monkeypatch.setattr(squeue, "ask", lambda records: asked.append(records) or [])
    submitted(workshop, [workshop.cell(f"c{i}") for i in range(20)])
    status(workshop.cells, workshop.store)
    assert len(asked) == 1
    assert [record.backend for record in asked[0]] == ["slurm"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_redrawn_and_a_pipe_gets_lines(workshop, queue):
    job = workshop.cell("a")
    submitted(workshop, [job])
    found = status(workshop.cells, workshop.store)
    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        live = board.Live(stream)
        live.show(found, pause_s=35)
        live.show(found, pause_s=35)
    assert screen.getvalue().count("\x1b[H") == 2
    assert "again in 35 s; Ctrl-C stops looking, not the jobs" in screen.getvalue()
    (line,) = pipe.getvalue().splitlines()
    assert line.endswith("0 of 1 cells done, 1 pending")
    live.close(found, ["note: all is well"])
    assert "\x1b" not in pipe.getvalue()
    assert pipe.getvalue().endswith("note: all is well\n")


def test_a_screen_that_is_too_small_keeps_the_totals(workshop, queue, monkeypatch):
    for number in range(40):
        workshop.cell(f"method{number:02}")
    monkeypatch.setattr(
        board.shutil, "get_terminal_size", lambda: os.terminal_size((60, 12))
    )
    screen = Terminal()
    board.Live(screen).show(status(workshop.cells, workshop.store), pause_s=10)
    lines = screen.getvalue().replace("\x1b[K", "").split("\n")
    assert len([line for line in lines if line.strip("\x1b[HJ")]) <= 12
    assert "0 of 40 cells done, 40 missing" in screen.getvalue()


def test_a_later_stage_is_blocked_by_the_one_that_it_starts_from(workshop, queue):
    first = workshop.pretrain("first")
    second = workshop.pretrain("second", after=(first.nodes[0],))
    cell = workshop.cell("c", second)
    workshop.store.begin(first.nodes[0], {}, made_by={}).fail("code", "nan loss")
    pretrainings = {
        first.nodes[0]: Pretraining(first.nodes[0], "first", 0),
        second.nodes[0]: Pretraining(second.nodes[0], "second", 0, first.nodes[0]),
    }
    found = status(workshop.cells, workshop.store, None, pretrainings)
    rows = {row.key: row for row in (*found.cells, *found.pretrainings)}
    assert rows[first.name].state == "failed"
    assert rows[second.name].state == rows[cell.name].state == "blocked"
    for name in (second.name, cell.name):
        assert rows[name].reason.endswith("code: nan loss")
