"""Faults of jobs: killed, cancelled, failed, out of time."""

import os
import signal
from pathlib import Path

from catalogue import fault
from trial import ENDED, NotTried


@fault("worker SIGKILLed", ci=True)
def worker_killed(trial):
    """The process that computes a node gets SIGKILL in the middle of it."""
    trial.order("adapt-random-0")
    trial.submit()
    note = trial.held("adapt-random-0")
    trial.remember()
    os.kill(note["pid"], signal.SIGKILL)
    job = trial.wait(lambda: trial.ended(note), "the job to end")
    trial.saw(
        f"SLURM: JobState={job['JobState']} ExitCode={job['ExitCode']} after SIGKILL of "
        f"process {note['pid']}",
        "while adapt-random-0 was computed",
    )
    trial.expect(job["JobState"] == "FAILED", f"the job is {job['JobState']}")
    trial.check_status({"random-0": {"lost"}})
    trial.finish()
    trial.check_once()


@fault("scancel by hand", ci=True)
def cancelled(trial):
    """The user cancels the array that computes cells, while one of them runs."""
    trial.order("adapt-random-1")
    trial.submit()
    note = trial.held("adapt-random-1")
    trial.remember()
    trial.slurm("scancel", note["array"] or note["job"])
    job = trial.wait(lambda: trial.ended(note), "the job to end")
    trial.saw(
        f"SLURM: JobState={job['JobState']} ExitCode={job['ExitCode']}",
        "while adapt-random-1 was computed",
    )
    trial.expect(job["JobState"] == "CANCELLED", f"the job is {job['JobState']}")
    trial.check_status({"random-1": {"lost"}})
    trial.finish()
    trial.check_once()


@fault("a dependant whose parent failed", ci=True)
def parent_failed(trial):
    """A pretraining fails: its cells can never start."""
    trial.order("pretrain-simmim", "fail")
    trial.submit()
    note = trial.held("pretrain-simmim")
    job = trial.wait(lambda: trial.ended(note), "the job to end")
    trial.drained()
    trial.remember()
    trial.saw(
        f"SLURM: the pretraining has JobState={job['JobState']} "
        f"ExitCode={job['ExitCode']}",
        "two cells waited with afterok",
    )
    trial.expect(job["JobState"] == "FAILED", f"the job is {job['JobState']}")
    rows = trial.check_status(
        {"simmim": {"failed"}, "simmim-0": {"blocked"}, "simmim-1": {"blocked"}}
    )
    trial.expect("told to fail" in rows["simmim-0"]["reason"], "no reason is given")
    trial.finish(own_fault=True)
    trial.check_once()


@fault("worker out of memory")
def out_of_memory(trial):
    """The kernel ends a worker that asks for more memory than its control group has."""
    group = Path("/sys/fs/cgroup/memory") / f"{trial.folder.name}-{os.getpid()}"
    limit, events = group / "memory.limit_in_bytes", group / "memory.oom_control"
    if not group.parent.is_dir():  # control groups of version 2
        group = Path("/sys/fs/cgroup") / group.name
        limit, events = group / "memory.max", group / "memory.events"
    try:
        group.mkdir()
        limit.write_text(str(400 << 20))
    except OSError as error:
        message = f"no control group with a limit of memory here ({error})"
        raise NotTried(message) from error
    try:
        trial.order("adapt-simmim-0", f"memory {group}")
        trial.submit()
        note = trial.held("adapt-simmim-0")
        job = trial.wait(lambda: trial.ended(note), "the job to end")
        killed = next(
            line for line in events.read_text().splitlines() if "oom_kill " in line
        )
        if not int(killed.split()[1]):
            message = "the kernel killed nothing"
            raise NotTried(message)
        trial.saw(
            f"kernel: {killed} in {events.name}; SLURM: JobState={job['JobState']} "
            f"ExitCode={job['ExitCode']}",
            "while adapt-simmim-0 was computed",
        )
        trial.drained()
        trial.remember()
        trial.check_status({"simmim-0": {"lost", "failed"}, "simmim-1": {"done"}})
        trial.finish()
        trial.check_once()
    finally:
        group.rmdir()


@fault("job past its time limit")
def time_limit(trial):
    """A job is at work when SLURM's time limit of one minute ends it."""
    trial.order("adapt-random-0")
    trial.submit("--time", "1")
    first = trial.held("adapt-random-0")

    def interrupted():
        job = trial.job(first["job"])
        if job["JobState"] in ENDED or int(job["Restarts"]) > 0:
            return job
        return None

    job = trial.wait(interrupted, "the time limit to be enforced", 200)
    words = ("TIME LIMIT", "timed-out", "Caught signal")
    lines = trial.logs().splitlines()
    said = [line for line in lines if any(word in line for word in words)]
    trial.saw(
        f"SLURM: TimeLimit={job['TimeLimit']} JobState={job['JobState']} "
        f"Restarts={job['Restarts']}; log: {said[-1] if said else 'silent'}",
        "while adapt-random-0 was computed",
    )
    trial.remember()
    trial.check_status({"random-0": {"pending", "running", "lost", "failed"}})
    trial.release()
    trial.finish()
