"""Faults of SLURM: daemons that end, nodes that go, jobs that are moved."""

import contextlib
import os
import signal
import subprocess
import time

from catalogue import fault
from trial import ENDED, REAL, NotTried

DOWN_S = 60.0  # how long the controller is away


def pid_of(trial, daemon):
    """Return the process id of a daemon."""
    return trial.daemons.running()[daemon]


def taken_by_urgent(trial):
    """Return what slurmctld says of the job that took the nodes, or ''."""
    log = (trial.folder / "slurm" / "logs" / "slurmctld.log").read_text()
    found = [line for line in log.splitlines() if "Partition=urgent" in line]
    return found[-1].split("] ", 1)[-1] if found else ""


def kill(pids):
    """Send SIGKILL to processes that may be gone by now."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@fault("slurmd killed and restarted")
def slurmd_restarted(trial):
    """The daemon of the node gets SIGKILL while a job runs there, and starts again."""
    trial.order("adapt-random-0")
    trial.submit()
    note = trial.held("adapt-random-0")
    trial.remember()
    daemon = f"slurmd.{note['node']}"
    pid = pid_of(trial, daemon)
    os.kill(pid, signal.SIGKILL)
    trial.wait(lambda: daemon not in trial.daemons.running(), "slurmd to end")
    trial.check_status({"random-0": {"running"}})
    trial.daemons.restart(daemon)
    trial.saw(
        f"SIGKILL of {daemon}, process {pid}; now process {pid_of(trial, daemon)}",
        "while adapt-random-0 was computed there",
    )
    trial.release()
    trial.drained()
    trial.check_status({"random-0": {"done", "lost"}})
    trial.finish()
    trial.check_once()


@fault("node lost with its jobs")
def node_lost(trial):
    """slurmd and every process of a job get SIGKILL; SLURM calls the node down."""
    trial.order("adapt-random-0")
    trial.submit()
    note = trial.held("adapt-random-0")
    trial.remember()
    daemon = f"slurmd.{note['node']}"
    pids = {pid_of(trial, daemon), *trial.processes(note["job"])}
    kill(pids)

    def gone():
        job = trial.job(note["job"])
        return job if job["JobState"] in ENDED or int(job["Restarts"]) else None

    job = trial.wait(gone, "SLURM to notice", 120)
    state = trial.slurm("sinfo", "-h", "-N", "-n", note["node"], "-o", "%T").split()
    trial.saw(
        f"SIGKILL of {len(pids)} processes; SLURM: {note['node']} {state[:1]}, the job "
        f"JobState={job['JobState']} Restarts={job['Restarts']} Reason={job['Reason']}",
        "while adapt-random-0 was computed there",
    )
    trial.check_status({"random-0": {"pending", "running", "lost"}})
    trial.daemons.restart(daemon)
    trial.release()
    trial.drained(120)
    trial.finish()
    trial.check_once()


@fault("node drained mid-job")
def node_drained(trial):
    """Both nodes are drained while a job runs and its dependants wait."""
    trial.order("pretrain-simmim")
    trial.submit()
    note = trial.held("pretrain-simmim")
    nodes = "node1,node2"
    trial.slurm("scontrol", "update", f"nodename={nodes}", "state=drain", "reason=test")
    states = trial.slurm("sinfo", "-h", "-N", "-o", "%N=%T").split()
    if not all("drain" in state for state in states):
        message = f"the nodes are {states}"
        raise NotTried(message)
    trial.saw(f"SLURM: {', '.join(states)}", f"pretrain-simmim ran on {note['node']}")
    trial.check_status({"simmim": {"running"}, "simmim-0": {"pending"}})
    trial.release()
    trial.wait(lambda: trial.key("pretrain-simmim") in trial.manifests(), "the result")
    trial.remember()
    trial.check_status({"simmim": {"done"}, "simmim-0": {"pending"}})
    trial.slurm("scontrol", "update", f"nodename={nodes}", "state=resume")
    trial.drained()
    trial.finish(times=1)
    trial.check_once()


@fault("controller down during submit")
def down_during_submit(trial):
    """slurmctld gets SIGKILL as sbatch is called, and is away for a minute."""
    pid = pid_of(trial, "slurmctld")
    path = trial.shim(
        "sbatch",
        f"if mkdir $FOLDER/once 2>/dev/null; then kill -KILL {pid}; fi\n"
        'exec "$REAL" "$@"\n',
    )
    start = time.monotonic()
    command = trial.words("run", "--cluster", "slurm")
    with subprocess.Popen(
        command, env={**trial.environment, "PATH": path}, cwd=trial.folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as run:  # fmt: skip
        trial.wait(lambda: (trial.folder / "once").exists(), "the first sbatch")
        trial.wait(lambda: "slurmctld" not in trial.daemons.running(), "its end")
        away = time.monotonic()
        while time.monotonic() - away < DOWN_S:
            time.sleep(0.5)
        trial.daemons.restart("slurmctld")
        said = run.communicate(timeout=300)[0]
    trial.saw(
        f"SIGKILL of slurmctld, process {pid}; {DOWN_S:.0f} s without one; run ended "
        f"{time.monotonic() - start:.0f} s after its start with {run.returncode}",
        "at the first sbatch of a submission",
    )
    trial.expect("Traceback" not in said, f"run printed a traceback: {said[-200:]}")
    trial.expect(run.returncode in {0, 2}, f"run ended with {run.returncode}")
    trial.wait(lambda: trial.slurm("scontrol", "ping").count("UP"), "the controller")
    trial.check_status()
    trial.finish()
    trial.check_once()


@fault("controller down during status")
def down_during_status(trial):
    """slurmctld gets SIGKILL and is away for a minute, in which status is asked."""
    trial.order("adapt-random-0")
    trial.submit()
    trial.held("adapt-random-0")
    trial.wait(lambda: len(trial.queue()) == 1, "the other jobs to end")
    trial.remember()
    pid = pid_of(trial, "slurmctld")
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    trial.wait(lambda: "slurmctld" not in trial.daemons.running(), "its end")
    found = trial.status(timeout=120)
    took = time.monotonic() - start
    trial.expect(not found["slurm_answers"], "status says that SLURM answers")
    trial.check_status({"random-0": {"running", "pending"}, "random-1": {"done"}})
    refused = trial.submit(code=2)
    trial.expect("SLURM does not answer" in refused.stderr, "run gives another reason")
    time.sleep(max(0.0, DOWN_S - (time.monotonic() - start)))
    trial.daemons.restart("slurmctld")
    trial.saw(
        f"SIGKILL of slurmctld, process {pid}, and {time.monotonic() - start:.0f} s "
        f"without one; status answered after {took:.0f} s",
        "while adapt-random-0 was computed",
    )
    trial.wait(lambda: trial.slurm("scontrol", "ping").count("UP"), "the controller")
    trial.check_status({"random-0": {"running"}})
    trial.finish()
    trial.check_once()


@fault("job preempted and requeued", site={"preemption": True, "grace_s": 5})
def preempted(trial):
    """A job of a partition with priority takes the nodes; SLURM requeues ours."""
    trial.order("adapt-random-0")
    trial.submit()
    note = trial.held("adapt-random-0")
    trial.wait(lambda: len(trial.queue()) == 1, "the other jobs to end")
    trial.remember()
    trial.slurm("sbatch", "-p", "urgent", "-N", "2", "--exclusive", "-o", "/dev/null",
                "--wrap", "sleep 5")  # fmt: skip

    def requeued():
        job = trial.job(note["job"])
        return job if int(job.get("Restarts", 0)) or job["JobState"] in ENDED else None

    job = trial.wait(requeued, "the job to be preempted")
    taken = trial.wait(lambda: taken_by_urgent(trial), "the nodes to be taken")
    trial.saw(
        f"SLURM: JobState={job['JobState']} Restarts={job['Restarts']}; slurmctld: "
        f"{taken}",
        "while adapt-random-0 was computed",
    )
    trial.check_status({"random-0": {"pending", "running"}})
    trial.release()
    trial.drained(150)
    trial.check_status({"random-0": {"done"}})
    trial.finish(times=1)


@fault(
    "pretraining preempted and requeued", runner=REAL, steps=80,
    site={"preemption": True, "grace_s": 15},
)  # fmt: skip
def pretraining_preempted(trial):
    """A training is preempted; it saves on the signal and goes on from there."""
    trial.submit()
    trial.wait(lambda: trial.checkpoints("pretrain-simmim"), "a checkpoint", 150)
    trial.wait(lambda: len(trial.queue()) <= 3, "the other jobs to end")
    trial.remember()
    trial.slurm("sbatch", "-p", "urgent", "-N", "2", "--exclusive", "-o", "/dev/null",
                "--wrap", "sleep 5")  # fmt: skip
    taken = trial.wait(lambda: taken_by_urgent(trial), "the nodes to be taken")
    trial.check_status({"simmim": {"pending", "running"}, "simmim-0": {"pending"}})
    trial.drained(240)
    trial.check_status({"simmim": {"done"}, "simmim-0": {"done"}})
    resumed = trial.said("pretrain-simmim", "resumed at step")
    trial.expect(resumed, "the training began anew")
    trial.saw(
        f"slurmctld: {taken}; {len(trial.attempts('pretrain-simmim'))} attempts",
        f"log: {resumed[-1]}",
    )
    trial.finish(times=1)
    trial.same_weights("pretrain-simmim")
    trial.check_once()


@fault("a purged parent id", site={"min_job_age_s": 2})
def purged_parent(trial):
    """A pretraining fails and is forgotten by SLURM before sbatch names its id."""
    trial.order("pretrain-simmim", "fail")
    path = trial.shim(
        "sbatch",
        """for word in "$@"; do script=$word; done
parent=$(grep -ho 'afterok:[0-9_]*' "$script" | head -1 | cut -d: -f2)
if [ -n "$parent" ]; then
  for second in $(seq 1 150); do
    scontrol show job "$parent" > $FOLDER/parent 2>&1 || break
    sleep 1
  done
  echo "$parent" > $FOLDER/purged
fi
exec "$REAL" "$@"
""",
    )
    trial.submit(PATH=path, timeout=240)
    purged = trial.folder / "purged"
    if not purged.exists() or "Invalid job id" not in (
        said := (trial.folder / "parent").read_text()
    ):
        message = "no array waited for a parent that SLURM had forgotten"
        raise NotTried(message)
    trial.saw(
        f"scontrol of parent {purged.read_text().strip()}: {said.strip()}; sbatch took "
        "afterok on it",
        "between squeue and the sbatch of the cells",
    )
    trial.drained()
    trial.remember()
    trial.check_status(
        {"simmim": {"failed"}, "simmim-0": {"blocked"}, "simmim-1": {"blocked"}}
    )
    trial.finish(own_fault=True)
    trial.check_once()
