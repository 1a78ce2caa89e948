"""What executes jobs: the warm worker of the local pool and the payload of SLURM jobs.

    python -m harness.run.worker --results DIR --threads 2

The worker imports torch once and then takes one JSON line per job on stdin:
{"name": ..., "nodes": [keys], "log": path}. It answers one JSON line per job on what
was its stdout when it started: {"name", "exit", "error", "wall_s"}, after a first line
{"ready": true}. What a job prints goes to its log. The worker ends as soon as its stdin
does, and on SIGTERM, even in the middle of a job, after a training has saved its state;
so it does not outlive the process that began it by more than one training step.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from ..schema.errors import Exit
from ..store import Store
from .cores import allowed_cores
from .interrupts import Interrupted, raised

Runner = Callable[..., int]
RUNNER = "harness.run.cell:run_nodes"
_TO_SAVE_S = 60.0  # chosen here: for the last step of a training and its checkpoint
_UNTIL_KILLED_S = 120.0  # longer than SLURM's KillWait, 30 s by default


def load_runner(name: str) -> Runner:
    """Return the function called 'module:function'; the default one imports torch."""
    module, _, function = name.partition(":")
    return cast(Runner, getattr(importlib.import_module(module), function))


def missing_inputs(store: Store, keys: Sequence[str]) -> list[str]:
    """Return inputs of the nodes `keys` that are neither among them nor published.

    Published means that the manifest is there and its files have their sizes. A
    scheduler's word is not enough: SLURM starts a job at once that waits for an id
    which it has forgotten, even that of a failed job.
    """
    own = set(keys)
    inputs = {
        str(key)
        for node in keys
        if not store.is_done(node)
        for key in store.spec(node)["identity"]["inputs"].values()
    }
    return sorted(key for key in inputs - own if store.manifest(key) is None)


def run_job(
    results: str, name: str, keys: Sequence[str], *, threads: int, runner: Runner
) -> int:
    """Compute the nodes of one job; return its exit code (75: an input is missing).

    A failure is recorded by the runner; a missing input is recorded here, as an attempt
    at the first node that fails with the error class 'blocked'.
    """
    store = Store(Path(results))
    lacking = missing_inputs(store, keys)
    if lacking:
        message = f"{lacking[0][:16]}, which this job starts from, is not published"
        todo = next(key for key in keys if not store.is_done(key))
        if os.environ.get("SLURM_PROCID", "0") == "0":  # of several ranks, one records
            store.begin(todo, {"job": name}).fail("blocked", message)
        print(message, file=sys.stderr)  # noqa: T201
        return int(Exit.BLOCKED)
    return int(runner(results, list(keys), threads=threads))


def run_slurm_job(
    results: str, name: str, keys: list[str], runner: str = RUNNER
) -> None:
    """Run one job inside SLURM, in each of its tasks; plain strings only.

    Ends the process with the job's exit code when that is not 0, so that `afterok`
    works.
    """
    try:
        code = run_job(
            results, name, keys, threads=allowed_cores(), runner=load_runner(runner)
        )
    except Interrupted as stop:
        if stop.number == signal.SIGTERM:
            # SLURM kills what it ends. A job that goes by itself when a preemption is
            # announced has failed and is not requeued (slurm.conf(5), GraceTime).
            time.sleep(_UNTIL_KILLED_S)
        raise
    if code:
        raise SystemExit(code)


def _serve(
    lines: Iterable[str], answers: TextIO, results: str, threads: int, runner: Runner
) -> None:
    for line in lines:
        job: dict[str, Any] = json.loads(line)
        _print_into(job["log"])
        start = time.monotonic()
        error = None
        try:
            code = run_job(
                results, job["name"], job["nodes"], threads=threads, runner=runner
            )
        except Exception as problem:
            traceback.print_exc()
            code, error = int(Exit.FAILED), f"{type(problem).__name__}: {problem}"
        answer = {
            "name": job["name"],
            "exit": code,
            "error": error,
            "wall_s": time.monotonic() - start,
        }
        _print_into(os.devnull)
        print(json.dumps(answer), file=answers, flush=True)


def _print_into(path: str) -> None:
    """Send stdout and stderr, of this process and its children, to a file's end."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def _lines_until_the_parent_ends(stream: TextIO) -> Iterable[str]:
    """Yield lines of `stream`; end the process when it closes.

    A thread reads, so that the end is seen while a job computes. What the job has not
    published is repeated by the next run.
    """
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in stream:
            jobs.put(line)
        # Parent gone: a training saves what it has, everything else stops at once.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_TO_SAVE_S)
        os._exit(Exit.INCOMPLETE)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield jobs.get()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve jobs from stdin until it closes."""
    parser = argparse.ArgumentParser(description="Warm worker of the local pool.")
    parser.add_argument("--results", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cores", default="", help="to be pinned to, such as 0,1")
    parser.add_argument("--runner", default=RUNNER)
    options = parser.parse_args(arguments)
    if options.cores and hasattr(os, "sched_setaffinity"):
        # Before the runner imports torch: threads inherit it.
        os.sched_setaffinity(0, map(int, options.cores.split(",")))
    # The pipe to the parent moves away from descriptor 1, where any library may print.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    runner = load_runner(options.runner)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    try:
        with raised():
            lines = _lines_until_the_parent_ends(sys.stdin)
            _serve(lines, answers, options.results, options.threads, runner)
    except Interrupted:
        os._exit(Exit.INCOMPLETE)  # a thread still waits for stdin


if __name__ == "__main__":
    main()
