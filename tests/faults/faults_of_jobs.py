"""Faults of jobs: killed, cancelled, failed, out of time."""

import os
import signal

from catalogue import fault


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
    trial.finish()
    trial.check_once()
