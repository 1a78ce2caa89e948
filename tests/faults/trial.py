"""One trial: a private SLURM, a tiny matrix on it, a fault, and what must hold after."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "scripts"))

import slurm  # noqa: E402  (scripts/slurm.py, a folder that is no package)
import slurm_site  # noqa: E402
from payload import node_name, scores  # noqa: E402

from harness.matrix import load  # noqa: E402
from harness.plan import make_plan  # noqa: E402
from harness.plan.prepare import prepare_data  # noqa: E402
from harness.store import Store  # noqa: E402
from harness.store.query import case_scores  # noqa: E402

BENCHMARK = """
title: Faults
tier: tiny
content: [{root}]
corpus: [phantom_organs]
methods:
  random:
  simmim: {{steps: {steps}, crop: [16, 16, 16], region: [24, 24, 24]}}
protocols:
  finetune: {{steps: 2, val_every: 2}}
tasks:
  phantom_organs:
    cases: 6
    format: {{settings: {{train: 3, val: 1, test: 2}}}}
    preprocess: {{spacing: [8, 8, 10]}}
    crop: [16, 16, 16]
label_budgets: [100%]
seeds: [0, 1]
training: {{checkpoint_steps: 5}}
"""
CELLS = 4  # of two methods with two seeds; one of them is pretrained once
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"}
PAYLOAD = "payload:run_nodes"
REAL = "payload:real_pretraining"  # trains, and checkpoints as it does


class NotTried(Exception):
    """The fault could not be brought about: the trial counts as not tried."""


class Broken(Exception):
    """Something that must hold after a fault does not."""


class Trial:
    """One trial in a folder of its own, on a private SLURM of its own.

    site: changes to the SLURM that trials get; runner: what its jobs compute.
    """

    def __init__(self, folder, number, prepared, *, site=None, runner=PAYLOAD, steps=2):
        self.folder, self.number, self.runner = folder, number, runner
        self.results = folder / "results"
        self.evidence, self.step = "", ""
        for name in ("orders", "here"):
            (folder / name).mkdir(parents=True)
        (folder / "work").touch()
        self.benchmark = folder / "benchmark.yaml"
        self.benchmark.write_text(BENCHMARK.format(root=ROOT, steps=steps))
        shutil.copytree(prepared, self.results)
        self.environment = environment()
        self._published = {}
        self._site = {
            "nodes": 2, "cpus": 2, "cred_expire_s": 20, "kill_wait_s": 2,
            "slurmd_timeout_s": 10, **(site or {}),
        }  # fmt: skip
        self.conf = folder / "slurm" / "slurm.conf"

    def __enter__(self):
        for chance in range(3):
            count = self._site["nodes"] + 5
            site = slurm.Site(port=slurm_site.free_port(count), **self._site)
            try:
                slurm.up(self.folder / "slurm", site)
                break
            except slurm.CannotStart as problem:  # another took the port just now
                if chance == 2:
                    raise NotTried(str(problem)) from problem
        self.environment["SLURM_CONF"] = str(self.conf)
        self.daemons = slurm.Daemons(self.folder / "slurm")
        return self

    def __exit__(self, *_):
        for order in (self.folder / "orders").iterdir():
            order.unlink()
        slurm.down(self.folder / "slurm")

    # -- what a user does -------------------------------------------------------------

    def words(self, *words, before=()):
        """Return the command line of `harness` for this trial."""
        command = [sys.executable, str(HERE / "command.py"), self.runner]
        where = ["-b", str(self.benchmark), "--results", str(self.results)]
        return [*before, *command, *where, *words]

    def harness(self, *words, before=(), timeout=180, **environment):
        """Run `harness`; return the finished process."""
        return subprocess.run(
            self.words(*words, before=before), cwd=self.folder, check=False,
            env={**self.environment, **environment}, capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip

    def submit(self, *more, code=0, **settings):
        """Submit the matrix; Broken if the exit code is another."""
        done = self.harness("run", "--cluster", "slurm", *more, **settings)
        if code is not None and done.returncode != code:
            self.broken(f"run ended with {done.returncode}, not {code}: {tail(done)}")
        return done

    def status(self, code=None, **settings):
        """Return status --json; Broken if it does not answer in JSON."""
        done = self.harness("status", "--json", **settings)
        try:
            found = json.loads(done.stdout)
        except ValueError:
            self.broken(f"status printed no JSON ({done.returncode}): {tail(done)}")
        if code is not None and done.returncode != code:
            self.broken(f"status ended with {done.returncode}, not {code}")
        return found

    def resume(self, command="resume", code=(0,)):
        """Run `resume` or `retry`; return the finished process."""
        # Named: a run that was killed early has left no record of where it went.
        done = self.harness(command, "--cluster", "slurm")
        if done.returncode not in code:
            self.broken(f"{command} ended with {done.returncode}: {tail(done)}")
        return done

    # -- steering ---------------------------------------------------------------------

    def order(self, node, what="hold"):
        """Say what the node shall do when it is computed."""
        draft = self.folder / f"{node}.draft"
        draft.write_text(what)
        draft.replace(self.folder / "orders" / node)

    def release(self, *nodes):
        """Take orders back: held nodes go on."""
        for node in nodes or [path.name for path in (self.folder / "orders").iterdir()]:
            (self.folder / "orders" / node).unlink(missing_ok=True)

    def held(self, node, seconds=60, after=0.0):
        """Wait until a node obeys its order (later than `after`); return its note."""

        def note():
            try:
                found = json.loads((self.folder / "here" / node).read_text())
            except (OSError, ValueError):
                return None
            return found if found["at"] > after else None

        return self.wait(note, f"{node} to start", seconds)

    def wait(self, condition, what, seconds=60.0):
        """Return the first true value of `condition`; NotTried after `seconds`."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                message = f"waited {seconds:.0f} s in vain for {what}"
                raise NotTried(message)
            time.sleep(0.1)
        return found

    def slurm(self, *command):
        """Run one of SLURM's programs; return what it printed."""
        return slurm.ask(self.conf, *command).stdout

    def queue(self):
        """Return {job id: (state, reason)} of what is queued."""
        text = self.slurm("squeue", "-h", "-r", "-o", "%i|%T|%r")
        rows = [line.split("|") for line in text.splitlines()]
        return {job: (state, reason) for job, state, reason in rows}

    def job(self, job_id):
        """Return what scontrol says of a job: {field: value}."""
        text = self.slurm("scontrol", "-o", "show", "job", job_id).split("\n")[0]
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    def logs(self):
        """Return the logs of all jobs."""
        paths = sorted((self.results / "submissions").rglob("*_log.out"))
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def shim(self, name, text):
        """Put a shell script in front of one of SLURM's programs.

        In `text`, $REAL is the program and $FOLDER the trial's folder. Returns the
        variable PATH that finds it.
        """
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        real = shutil.which(name)
        path.write_text(f"#!/bin/bash\nREAL={real}\nFOLDER={self.folder}\n{text}")
        path.chmod(0o755)
        return f"{folder}:{self.environment['PATH']}"

    def checkpoints(self, node):
        """Return the checkpoints of a training under way, oldest first."""
        key = self.key(node)
        folder = self.results / "nodes" / key[:2] / key[:16] / "checkpoints"
        return sorted(folder.glob("step-*.json"), key=lambda path: path.name)

    def attempts(self, node):
        """Return the folders of the attempts at a node, oldest first."""
        key = self.key(node)
        folder = self.results / "nodes" / key[:2] / key[:16] / "attempts"
        return sorted(folder.iterdir()) if folder.exists() else []

    def said(self, node, words):
        """Return the lines of all attempts at a node that have `words`."""
        logs = [path / "log.txt" for path in self.attempts(node)]
        text = "\n".join(path.read_text() for path in logs if path.exists())
        return [line for line in text.splitlines() if words in line]

    def same_weights(self, node):
        """Demand that all trials, each interrupted elsewhere, end with the same bits."""
        key = self.key(node)
        manifest = self.results / "done" / key[:2] / f"{key[:16]}.json"
        files = json.loads(manifest.read_text())["files"]
        hashes = {name: entry["sha256"] for name, entry in files.items()
                  if name.endswith(".safetensors")}  # fmt: skip
        kept = self.folder.parent.parent / f"weights-{key[:16]}.json"
        if kept.exists() and json.loads(kept.read_text()) != hashes:
            self.broken(
                "the weights differ from those of a trial interrupted elsewhere"
            )
        kept.write_text(json.dumps(hashes))

    def processes(self, job_id):
        """Return the processes of a job on this machine, and slurmstepd above them."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                said = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if {f"SLURM_CONF={self.conf}".encode(),
                f"SLURM_JOB_ID={job_id}".encode()} <= set(said):  # fmt: skip
                found.add(int(entry.name))
        return found | {pid for one in found for pid in _stepds(one)}

    def ended(self, note):
        """Return what scontrol says of the job of a held node once it has ended."""
        job = self.job(note["job"])
        return job if job.get("JobState") in ENDED else None

    def held_by_slurm(self):
        """Whether SLURM holds jobs that it could not launch."""
        return any("eld" in reason for _, reason in self.queue().values())

    def drained(self, seconds=150):
        """Wait until nothing is queued."""
        self.wait(lambda: not self.queue(), "the queue to drain", seconds)

    def saw(self, evidence, step):
        """Note what shows that the fault happened, and at which step."""
        if self._site.get("accounting"):
            ended = self.slurm(
                "sacct", "-n", "-X", "-P", "-S", "now-1hour", "-o", "JobID,State"
            )
            evidence += f"; sacct: {' '.join(ended.split())}"
        self.evidence, self.step = evidence, step

    # -- what must hold ---------------------------------------------------------------

    def broken(self, message):
        """End the trial: something that must hold does not."""
        raise Broken(message)

    def expect(self, truth, message):
        """End the trial unless `truth`."""
        if not truth:
            self.broken(message)

    def manifests(self):
        """Return {key: attempt} of everything published, read by hand."""
        found = {}
        for path in (self.results / "done").rglob("*.json"):
            try:
                document = json.loads(path.read_text())
            except ValueError:
                continue
            found[document["key"]] = document["attempt"]
        return found

    def remember(self):
        """Keep what is published now: it must still be there at the end."""
        self._published = self.manifests()

    def specs(self):
        """Return {node name: spec} of what is planned."""
        paths = (self.results / "nodes").rglob("spec.json")
        specs = [json.loads(path.read_text()) for path in paths]
        return {node_name(spec): spec for spec in specs}

    def key(self, node):
        """Return the key of a node by its name."""
        return self.specs()[node]["key"]

    def check_status(self, expected=None, **settings):
        """Compare status with the disk and the queue, and with what a trial expects.

        expected: {'random-0': allowed states}; of 'simmim' those of its pretraining.
        Returns the rows by the same names.
        """
        found = self.status(**settings)
        rows = {f"{row['method']}-{row['seed']}": row for row in found["cells"]}
        rows |= {row["method"]: row for row in found["pretrainings"]}
        if len(found["cells"]) != CELLS or len(rows) != CELLS + 1:
            self.broken(f"status lists {len(rows)} rows, not {CELLS + 1}")
        done = {key[:16] for key in self.manifests()}
        for name, row in rows.items():
            sound = row["key"] in done
            if row["state"] == "done" and not sound:
                self.broken(f"status says that {name} is done, and it is not published")
        for name, allowed in (expected or {}).items():
            row = rows[name]
            if row["state"] not in allowed:
                self.broken(
                    f"status says that {name} is {row['state']} ({row['reason']}), "
                    f"not {' or '.join(sorted(allowed))}"
                )
        return rows

    def finish(self, *, lost=(), own_fault=False, times=2):
        """Resume until all is done; then everything that must hold, holds.

        lost: names of nodes whose published result the fault destroyed; own_fault: the
        fault was a job's own, which `resume` leaves to people and `retry` repeats.
        """
        self.release()
        if own_fault:
            left = self.resume(code=(1,))
            self.expect("its own fault" in left.stderr, f"resume says: {tail(left)}")
            self.resume("retry")
            self.drained()
        for _ in range(times):
            self.resume()
            self.drained()
            if self.status()["counts"]["done"] == CELLS:
                break
        self.check_status({f"{m}-{s}": {"done"} for m in ("random", "simmim")
                           for s in (0, 1)}, code=0)  # fmt: skip
        self.check_rows(lost={self.key(name) for name in lost})

    def check_rows(self, lost=frozenset()):
        """Every row once, as computed; nothing published before has been replaced."""
        now = self.manifests()
        for key, attempt in self._published.items():
            if key not in lost and now.get(key) != attempt:
                self.broken(
                    f"{key[:16]} was published by {attempt}, now {now.get(key)}"
                )
        store = Store(self.results)
        if problems := store.verify():
            self.broken(f"verify: {problems[0].message}")
        specs = self.specs().values()
        evaluations = [spec for spec in specs if spec["kind"] == "evaluate"]
        self.expect(len(evaluations) == CELLS, f"{len(evaluations)} cells are planned")
        files = {s["key"]: store.file(s["key"], "cases.parquet") for s in evaluations}
        for spec in evaluations:
            self._check_file(spec, files[spec["key"]])
        cases = sum(len(spec["where"]["cases"]["test"]) for spec in evaluations)
        read = case_scores(files, metric="dice", charge={}).num_rows
        self.expect(read == cases, f"a report reads {read} rows, not {cases}")

    def _check_file(self, spec, path):
        rows = pq.read_table(path).to_pylist()
        keys = [(row["case_id"], row["structure"], row["metric"]) for row in rows]
        self.expect(len(keys) == len(set(keys)), f"{path} has a row twice")
        cases = spec["where"]["cases"]["test"]
        self.expect({case for case, *_ in keys} == set(cases), f"{path} lacks rows")
        found = [(row["case_id"], row["value"]) for row in rows]
        self.expect(found == scores(spec["key"], cases), f"{path} has other values")

    def computed(self):
        """Return {key: how often it was computed to its end}."""
        lines = (self.folder / "work").read_text().splitlines()
        return Counter(line.split()[0] for line in lines)

    def check_once(self):
        """Nothing was computed twice."""
        if twice := [key for key, times in self.computed().items() if times > 1]:
            self.broken(f"{twice[0][:16]} was computed twice")


def _stepds(pid):
    """Yield the slurmstepd among the ancestors of a process."""
    while pid > 1:
        try:
            comm = Path(f"/proc/{pid}/comm").read_text()
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        if comm.startswith("slurmstepd"):
            yield pid
        pid = int(stat.rpartition(")")[2].split()[1])


def environment():
    """Return the environment of every command and job of a trial."""
    return {
        **os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip


def tail(done):
    """Return the last words of a process."""
    return " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])


def prepare(folder):
    """Make the results folder that every trial begins with: data is cached in it."""
    results = folder / "results"
    if results.is_dir():
        return results
    folder.mkdir(parents=True, exist_ok=True)
    benchmark = folder / "benchmark.yaml"
    benchmark.write_text(BENCHMARK.format(root=ROOT, steps=2))
    draft = folder / f"draft.{os.getpid()}"
    matrix = load(benchmark)
    plan = make_plan(matrix, Store(draft))
    prepare_data(plan, plan.jobs(), draft)
    with contextlib.suppress(OSError):  # another process was faster
        draft.rename(results)
    return results
