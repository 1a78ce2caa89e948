import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from stub_runner import HERE, ROOT, RUNNER

from harness.schema.errors import Exit, UserError
from harness.submit.local import Local
from harness.submit.progress import Progress


def local(workshop, **settings):
    settings.setdefault("workers", 2)
    settings.setdefault("runner", RUNNER)
    quiet = Progress({"cell": 1}, stream=io.StringIO())
    return Local(workshop.store, progress=quiet, **settings)


def alive(pid):
    """Whether a process runs; a zombie that nobody waits for does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_cell_starts_after_its_pretraining_has_ended(workshop):
    first, second = workshop.pretrain("a"), workshop.pretrain("b")
    for name, parent in [("c1", first), ("c2", second), ("c3", first), ("free", None)]:
        workshop.cell(name, parent)
    outcome = local(workshop).run(workshop.jobs[::-1])
    assert outcome.exit == Exit.DONE
    assert sorted(outcome.done) == sorted(job.name for job in workshop.jobs)
    lines = [(what, label) for what, label, *_ in workshop.events()]
    for cell, parent in [("c1", "a"), ("c2", "b"), ("c3", "a")]:
        start = lines.index(("start", f"adapt:{cell}"))
        assert start > lines.index(("end", f"pretrain:{parent}"))
    assert all(
        workshop.store.is_done(key) for job in workshop.jobs for key in job.nodes
    )


def test_workers_are_bounded_warm_and_share_the_cores(workshop):
    for number in range(8):
        workshop.cell(f"c{number}")
    pool = local(workshop, workers=2)
    pool.run(workshop.jobs)
    events = workshop.events()
    assert len({pid for _, _, pid, _ in events}) <= 2
    cores = len(os.sched_getaffinity(0))
    assert {threads for *_, threads in events} == {str(max(1, cores // 2))}


def test_the_default_pool_has_one_worker_per_core(workshop):
    assert len(Local(workshop.store).slots) == len(os.sched_getaffinity(0))


def test_workers_are_pinned_and_a_gpu_is_used_by_as_many_cells_as_are_allowed(
    workshop, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    for number in range(8):
        workshop.cell(f"c{number}")
    pool = local(workshop, workers=None, gpus=2, per_gpu=2)
    assert pool.run(workshop.jobs).exit == Exit.DONE
    using, most = {"5": set(), "7": set()}, {"5": 0, "7": 0}
    for what, label, pid, cores, gpu in workshop.places():
        assert set(map(int, cores.split(","))) < set(os.sched_getaffinity(0))
        (using[gpu].add if what == "start" else using[gpu].discard)((pid, label))
        most[gpu] = max(most[gpu], len(using[gpu]))
    assert all(1 <= count <= 2 for count in most.values())


def test_what_the_machine_fails_is_tried_once_more_after_the_others(workshop):
    workshop.cell("unlucky", do="kill-once")
    workshop.cell("other")
    outcome = local(workshop, workers=1).run(workshop.jobs)
    assert outcome.exit == Exit.DONE
    started = [label for label in workshop.started() if label.startswith("adapt")]
    assert started == ["adapt:unlucky", "adapt:other", "adapt:unlucky"]
    states = [
        one["state"] for one in workshop.store.attempts(workshop.jobs[0].nodes[0])
    ]
    assert states == ["lost", "done"]


def test_a_failing_job_leaves_the_others_alone(workshop):
    good = workshop.pretrain("good")
    bad = workshop.pretrain("bad", do="fail")
    workshop.cell("child", good)
    orphan = workshop.cell("orphan", bad)
    crash = workshop.cell("crash", do="raise")
    outcome = local(workshop).run(workshop.jobs)
    assert outcome.exit == Exit.FAILED
    assert len(outcome.done) == 2
    reasons = {failure.name: failure.reason for failure in outcome.failed}
    assert reasons == {
        bad.name: "code: told to fail",
        crash.name: "RuntimeError: told to raise",
    }
    [blocked] = outcome.blocked
    assert (blocked.name, blocked.reason) == (
        orphan.name,
        "waits for bad, which failed",
    )
    assert "adapt:orphan" not in workshop.started()
    log = next(failure.log for failure in outcome.failed if failure.name == crash.name)
    text = Path(log).read_text()
    assert "output of the job" in text
    assert "RuntimeError: told to raise" in text


def test_a_killed_worker_is_one_failed_attempt_and_is_replaced(workshop):
    killed = workshop.cell("killed", do="kill")
    for number in range(3):
        workshop.cell(f"c{number}")
    outcome = local(workshop, workers=1).run(workshop.jobs)
    assert [failure.name for failure in outcome.failed] == [killed.name]
    assert "signal 9, perhaps out of memory" in outcome.failed[0].reason
    assert len(outcome.done) == 3
    assert len({pid for _, _, pid, _ in workshop.events()}) == 2
    attempts = workshop.store.attempts(killed.nodes[0])
    assert [attempt["state"] for attempt in attempts] == ["lost", "lost"]


def test_running_again_does_only_what_is_left(workshop):
    parent = workshop.pretrain("p", do="fail-once")
    workshop.cell("c", parent)
    workshop.cell("other")
    assert local(workshop).run(workshop.todo()).exit == Exit.FAILED
    again = local(workshop).run(workshop.todo())
    assert again.exit == Exit.DONE
    assert len(again.done) == 2
    assert workshop.started().count("adapt:other") == 1


def test_a_missing_pretraining_that_no_job_makes_blocks_its_cells(workshop):
    cell = workshop.cell("c", workshop.node("pretrain", "elsewhere", {}, "ok"))
    outcome = local(workshop).run(workshop.jobs)
    assert [failure.name for failure in outcome.blocked] == [cell.name]
    assert "is not published" in outcome.blocked[0].reason
    assert outcome.exit == Exit.FAILED


def test_the_worker_itself_refuses_a_job_whose_input_is_missing(workshop):
    cell = workshop.cell("c", workshop.node("pretrain", "elsewhere", {}, "ok"))
    hasty = type(cell)(cell.name, "cell", cell.nodes, (), "c", "cell")
    outcome = local(workshop).run([hasty])
    assert [failure.name for failure in outcome.blocked] == [cell.name]
    [attempt] = workshop.store.attempts(cell.nodes[0])
    assert (attempt["state"], attempt["error_class"]) == ("blocked", "blocked")


def test_a_worker_that_cannot_start_is_a_sentence_not_a_loop(workshop):
    workshop.cell("c")
    with pytest.raises(UserError, match=r"a worker could not start: .*nowhere"):
        local(workshop, runner="nowhere:run_nodes").run(workshop.jobs)


def test_a_chatty_start_of_a_worker_is_not_mistaken_for_an_answer(workshop, tmp_path):
    workshop.cell("c")
    chatty = tmp_path / "chatty.py"
    chatty.write_text(
        "print('hello', flush=True)\nfrom harness.run.worker import main\nmain()"
    )
    outcome = local(workshop, worker=(sys.executable, str(chatty))).run(workshop.jobs)
    assert outcome.exit == Exit.DONE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupting_ends_the_workers_and_a_rerun_goes_on(workshop, tmp_path, number):
    workshop.cell("quick")
    sleeper = workshop.cell("sleeper", do="sleep")
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys
        # (what runs in the background of a script inherits an ignored Ctrl-C)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.path[:0] = [{ROOT!r}, {HERE!r}]
        from stub_runner import RUNNER, Workshop
        from harness.submit.local import Local
        shop = Workshop({str(workshop.store.root)!r})
        shop.cell("quick"), shop.cell("sleeper", do="sleep")
        sys.exit(Local(shop.store, workers=2, runner=RUNNER).run(shop.jobs).exit)
        """)
    )

    def busy():
        path = workshop.store.root / "events.txt"
        return path.exists() and "adapt:sleeper" in workshop.started()

    def attempts():
        return workshop.store.attempts(sleeper.nodes[0])

    with subprocess.Popen([sys.executable, str(script)]) as process:
        try:
            wait_for(busy)
            wait_for(lambda: workshop.store.is_done(workshop.jobs[0].nodes[1]))
            wait_for(lambda: attempts() and attempts()[0].get("pid"))
            process.send_signal(number)
            process.wait(timeout=20)
        finally:
            process.kill()
    expected = -number if number == signal.SIGKILL else Exit.INCOMPLETE
    assert process.returncode == expected
    pids = {int(pid) for _, _, pid, _ in workshop.events()}
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=5)
    assert [job.name for job in workshop.todo()] == [sleeper.name]
    assert attempts()[0]["state"] == "lost"


def test_interrupting_waits_for_what_a_job_saves(workshop, monkeypatch):
    job = workshop.cell("c", do="save")

    def interrupt():
        path = workshop.store.root / "events.txt"
        wait_for(lambda: path.exists() and "asleep" in path.read_text())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.monotonic()
    outcome = local(workshop, workers=1).run(workshop.jobs)
    thread.join()
    assert outcome.exit == Exit.INCOMPLETE
    assert time.monotonic() - start > 4
    [attempt] = workshop.store.attempts(job.nodes[0])
    assert attempt["state"] == "lost"  # the stub does not record it; it was not killed


def test_the_submitting_process_imports_no_torch(workshop):
    code = (
        "import sys, harness.submit.local, harness.submit.slurm, harness.submit.inline,"
        " harness.submit.status, harness.cli.run\n"
        "assert not {'torch', 'monai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
