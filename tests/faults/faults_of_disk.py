"""Faults of the results folder: full, read-only, damaged files."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess

from catalogue import fault
from trial import REAL, NotTried, tail


@contextlib.contextmanager
def own_disk(trial, size="64m"):
    """Put the results folder on a file system of its own, of `size`, in memory."""
    kept = trial.folder / "kept"
    trial.results.rename(kept)
    trial.results.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(trial.results)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        message = f"no file system can be mounted here: {done.stderr.strip()}"
        raise NotTried(message)
    try:
        shutil.copytree(kept, trial.results, dirs_exist_ok=True)
        yield
    finally:
        # Jobs may still hold files in it: they keep it until they end.
        subprocess.run(["umount", "-l", str(trial.results)], check=False)


def number_of(error):
    """Return the errno of an OSError in words."""
    return f"{errno.errorcode[error.errno]} ({error.strerror})"


@fault("disk full")
def disk_full(trial):
    """The disk of the results folder fills up while a job computes."""
    with own_disk(trial):
        trial.order("adapt-random-0")
        trial.submit()
        note = trial.held("adapt-random-0")
        trial.wait(lambda: len(trial.queue()) == 1, "the other jobs to end")
        trial.remember()
        filler = trial.results / "filler"
        said = ""
        try:
            with filler.open("wb", buffering=0) as out:
                while True:
                    out.write(bytes(4096))
        except OSError as error:
            said = number_of(error)
            if error.errno != errno.ENOSPC:
                raise
        trial.release()
        job = trial.wait(lambda: trial.ended(note), "the job to end")
        trial.saw(
            f"errno of a write: {said}; SLURM: JobState={job['JobState']}",
            "before adapt-random-0 wrote its files",
        )
        trial.expect(job["JobState"] == "FAILED", f"the job is {job['JobState']}")
        rows = trial.check_status(
            {"random-0": {"failed", "lost"}, "random-1": {"done"}}
        )
        trial.expect(rows["random-0"]["reason"], "status gives no reason")
        refused = trial.submit(code=None)
        trial.expect("Traceback" not in refused.stderr, "run printed a traceback")
        filler.unlink()
        trial.drained()
        trial.finish()
        trial.check_once()


@fault("results folder read-only")
def read_only(trial):
    """The results folder turns read-only between sbatch and the start of the jobs."""
    with own_disk(trial):
        trial.slurm("scontrol", "update", "nodename=node1,node2", "state=drain",
                    "reason=test")  # fmt: skip
        trial.submit()
        trial.remember()
        words = ["mount", "-o", "remount,{}", str(trial.results)]
        subprocess.run([word.format("ro") for word in words], check=True)
        try:
            (trial.results / "x").touch()
        except OSError as error:
            said = number_of(error)
        else:
            message = "the folder can still be written to"
            raise NotTried(message)
        trial.slurm("scontrol", "update", "nodename=node1,node2", "state=resume")
        free = [job for job, (_, why) in trial.queue().items() if "Depend" not in why]
        trial.wait(lambda: not set(free) & set(trial.queue()) or trial.held_by_slurm(),
                   "the jobs to fail")  # fmt: skip
        trial.saw(
            f"errno of creating a file: {said}; SLURM: the first job has JobState="
            f"{trial.job(free[0])['JobState']}",
            "after sbatch, before the jobs started",
        )
        trial.check_status({"random-0": {"lost", "failed", "missing", "pending"}})
        refused = trial.submit(code=None)
        said = f"run ended with {refused.returncode}: {tail(refused)}"
        trial.expect(refused.returncode in {0, 2}, said)
        trial.expect("Traceback" not in refused.stderr, said)
        subprocess.run([word.format("rw") for word in words], check=True)
        trial.slurm("scancel", "--me")
        trial.drained()
        trial.finish()
        trial.check_once()


def published(trial):
    """Submit everything and wait until it is published."""
    trial.submit()
    trial.drained()
    trial.check_status({"random-0": {"done"}, "simmim-1": {"done"}})
    trial.remember()


def file_of(trial, node, name):
    """Return the path of a published file."""
    key = trial.key(node)
    folder = trial.results / "nodes" / key[:2] / key[:16] / "attempts"
    return folder / trial.manifests()[key] / name


@fault("a corrupted Parquet file")
def corrupted_parquet(trial):
    """A published cases.parquet loses its end, or has bytes turned over."""
    published(trial)
    path = file_of(trial, "evaluate-random-0", "cases.parquet")
    data = path.read_bytes()
    cut = trial.number % 2
    half = len(data) // 2
    turned = bytes(byte ^ 0xFF for byte in data[half : half + 64])
    path.write_bytes(data[:half] if cut else data[:half] + turned + data[half + 64 :])
    verified = trial.harness("verify")
    key = trial.key("evaluate-random-0")[:16]
    trial.expect(verified.returncode == 1, f"verify ended with {verified.returncode}")
    trial.expect(key in verified.stdout, f"verify does not name it: {verified.stdout}")
    trial.saw(
        f"{path.name} has {path.stat().st_size} bytes of {len(data)}" if cut else
        f"64 bytes of {path.name} are turned over",
        f"after everything was published; {'truncated' if cut else 'same size'}",
    )  # fmt: skip
    if not cut:  # planning looks at sizes only: what verify finds has to be set aside
        aside = trial.harness("verify", "--set-aside")
        trial.expect("1 node set aside" in aside.stdout, f"verify: {aside.stdout}")
    report = trial.harness("report", "--table", "dice", "--allow-incomplete")
    trial.expect("Traceback" not in report.stderr, f"report: {report.stderr[-300:]}")
    trial.check_status({"random-0": {"missing", "lost"}})
    trial.finish(lost=["evaluate-random-0"])


@fault("a DONE manifest that lists a missing file")
def missing_file(trial):
    """A file that a manifest lists is deleted."""
    published(trial)
    path = file_of(trial, "evaluate-simmim-0", "cases.parquet")
    path.unlink()
    trial.saw(f"{path.name} is deleted, its manifest is there", "after publication")
    verified = trial.harness("verify")
    trial.expect(verified.returncode == 1, f"verify ended with {verified.returncode}")
    trial.expect(
        "cases.parquet is missing" in verified.stdout, "verify does not say it"
    )
    trial.check_status({"simmim-0": {"missing", "lost"}, "simmim-1": {"done"}})
    trial.finish(lost=["evaluate-simmim-0"])


@fault("corrupted manifest", ci=True)
def corrupted_manifest(trial):
    """A manifest is cut short, and another is garbage."""
    published(trial)
    damaged = {}
    for node, text in {
        "evaluate-random-0": None,
        "evaluate-simmim-1": "\0garbage",
    }.items():
        key = trial.key(node)
        path = trial.results / "done" / key[:2] / f"{key[:16]}.json"
        path.write_text(path.read_text()[:40] if text is None else text)
        damaged[node] = path
    trial.saw(
        f"{len(damaged)} manifests that are no JSON: "
        f"{[path.stat().st_size for path in damaged.values()]} bytes",
        "after everything was published",
    )
    verified = trial.harness("verify")
    trial.expect(verified.returncode == 1, f"verify ended with {verified.returncode}")
    for path in damaged.values():
        trial.expect(path.stem in verified.stdout, f"verify does not name {path.stem}")
    trial.check_status({"random-0": {"missing", "lost"}, "random-1": {"done"}})
    trial.finish(lost=list(damaged))


@fault("a corrupted checkpoint", runner=REAL, steps=80)
def corrupted_checkpoint(trial):
    """A training gets SIGKILL, and its newest checkpoint is cut or has bytes turned."""
    trial.submit()

    def under_way():
        found = trial.checkpoints("pretrain-simmim")
        return found if len(found) > 1 and number_in(found[0]) >= 10 else None

    trial.wait(under_way, "three checkpoints", 150)
    pid = json.loads((trial.attempts("pretrain-simmim")[-1] / "run.json").read_text())
    os.kill(pid["pid"], signal.SIGKILL)
    trial.drained()
    older, newest = trial.checkpoints("pretrain-simmim")[-2:]
    trial.remember()
    path = newest.with_suffix(".safetensors")
    data = path.read_bytes()
    half = len(data) // 2
    turned = bytes(byte ^ 0xFF for byte in data[half : half + 64])
    path.write_bytes(
        data[:half] if trial.number % 2 else data[:half] + turned + data[half + 64 :]
    )
    size = path.stat().st_size
    trial.check_status({"simmim": {"lost"}, "simmim-0": {"blocked"}})
    trial.finish()
    refused = trial.said("pretrain-simmim", "cannot be used")
    resumed = trial.said("pretrain-simmim", "resumed at step")
    trial.saw(
        f"SIGKILL of process {pid['pid']}; {size} of "
        f"{len(data)} bytes left; log: ...{refused[-1][-70:] if refused else ''}",
        f"at step {number_in(newest)} of 80; then {resumed[-1:]}",
    )
    trial.expect(refused, "the damaged checkpoint was not noticed")
    step = f"resumed at step {number_in(older)} "
    trial.expect(any(step in line for line in resumed), f"not {step}: {resumed}")
    trial.same_weights("pretrain-simmim")
    trial.check_once()


def number_in(checkpoint):
    """Return the step of a checkpoint."""
    return int(checkpoint.name.split("-")[1])
