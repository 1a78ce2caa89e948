"""Jobs that need no torch, and the function that computes them.

The real store and the real worker run them; only the computation is replaced. A node
does what its settings say: 'ok', 'fail', 'fault' (with a traceback), 'raise', 'kill'
(itself, by SIGKILL), 'kill-once', 'sleep', 'save' (sleep, and take a while to end), or
'fail-once'.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from harness import provenance
from harness.schema.identity import key_of_identity, short
from harness.store import Store

RUNNER = "stub_runner:run_nodes"
HERE = str(Path(__file__).parent)
ROOT = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class StubJob:
    name: str
    kind: str
    nodes: tuple
    after: tuple
    label: str
    profile: str
    method: str = "toy-method"
    task: str = "toy"


@dataclass(frozen=True)
class StubCell:
    method: str
    task: str
    protocol: str
    budget: str
    fold: int
    seed: int
    pretrain_key: str | None
    adapt_key: str
    evaluate_key: str


class Workshop:
    """Makes jobs and writes their specs into a results folder."""

    def __init__(self, results):
        self.store = Store(results)
        self.jobs = []
        self.cells = []

    def node(self, kind, name, inputs, do):
        identity = {
            "kind": kind, "implementation": "stub", "version": 1,
            "settings": {"name": name, "do": do}, "data": {}, "seeds": {},
            "inputs": inputs,
        }  # fmt: skip
        key = key_of_identity(identity)
        labels = {"method": name, "task": "toy"}
        spec = {"key": key, "kind": kind, "identity": identity}
        self.store.write_spec({**spec, "labels": labels, "where": {}})
        return key

    def pretrain(self, name, do="ok", after=()):
        inputs = {"init": after[0]} if after else {}
        key = self.node("pretrain", name, inputs, do)
        job = StubJob(short(key), "pretrain", (key,), tuple(after), name, "pretrain")
        self.jobs.append(job)
        return job

    def cell(self, name, parent=None, do="ok", seed=0):
        """parent: a pretrain job, or a pretrain key that nothing here makes."""
        key = parent if isinstance(parent, str) else parent.nodes[0] if parent else None
        inputs = {"encoder": key} if key else {}
        adapt = self.node("adapt", name, inputs, do)
        evaluate = self.node("evaluate", name, {"adapt": adapt}, "ok")
        after = (key,) if key and not self.store.is_done(key) else ()
        job = StubJob(short(evaluate), "cell", (adapt, evaluate), after, name, "cell")
        self.jobs.append(job)
        cell = StubCell(name, "toy", "finetune", "100%", 0, seed, key, adapt, evaluate)
        self.cells.append(cell)
        return job

    def todo(self):
        """The jobs with nodes still missing, as a plan would list them."""
        left = []
        for job in self.jobs:
            nodes = tuple(key for key in job.nodes if not self.store.is_done(key))
            after = tuple(key for key in job.after if not self.store.is_done(key))
            if nodes:
                left.append(
                    StubJob(job.name, job.kind, nodes, after, job.label, job.profile)
                )
        return left

    def events(self):
        """(what, label, process id, threads) of every start and end of a node."""
        path = self.store.root / "events.txt"
        return [tuple(line.split()) for line in path.read_text().splitlines()]

    def places(self):
        """(what, label, process id, cores, GPU) of every start and end of a node."""
        path = self.store.root / "places.txt"
        return [tuple(line.split(" ")) for line in path.read_text().splitlines()]

    def started(self):
        return [label for what, label, *_ in self.events() if what == "start"]


def run_nodes(results, keys, *, threads):
    store = Store(results)
    print("output of the job", flush=True)  # noqa: T201
    for key in keys:
        if store.is_done(key):
            continue
        spec = store.spec(key)
        settings = spec["identity"]["settings"]
        label, do = f"{spec['kind']}:{settings['name']}", settings["do"]
        _note(store, "start", label, threads)
        attempt = store.begin(key, {}, made_by=_made_by())
        if do == "kill" or (do == "kill-once" and len(store.attempts(key)) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "sleep":
            time.sleep(600)
        if do == "save":
            _save_for_a_while(store, label, threads)
        if do == "raise":
            message = "told to raise"
            raise RuntimeError(message)
        if do == "fault":
            try:
                raise ValueError
            except ValueError as error:
                attempt.fail("code", "a fault", error=error)
            return 1
        if do == "fail" or (do == "fail-once" and len(store.attempts(key)) == 1):
            attempt.fail("code", "told to fail")
            return 1
        attempt.path("result.txt").write_text(label)
        attempt.publish()
        _note(store, "end", label, threads)
    return 0


def _made_by():
    return {**provenance.code_state(), "slurm": provenance._slurm(os.environ)}


def _save_for_a_while(store, label, threads):
    """Take longer to end after a signal than an impatient parent would wait."""
    try:
        _note(store, "asleep", label, threads)
        time.sleep(600)
    finally:
        time.sleep(4)


def _note(store, what, label, threads):
    with (store.root / "events.txt").open("a") as out:
        out.write(f"{what} {label} {os.getpid()} {threads}\n")
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    with (store.root / "places.txt").open("a") as out:
        out.write(f"{what} {label} {os.getpid()} {cores} {gpu}\n")
