"""The local backend: a bounded pool of warm worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..schema.errors import Exit, UserError
from .backend import RUNNER, Failure, Outcome, Preview
from .failures import MACHINE, History
from .order import Order, preview
from .progress import Progress
from .reasons import reason_of
from .records import Array, Submissions
from .slots import slots, usable_cores, usable_gpus

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store

WORKER = (sys.executable, "-m", "harness.run.worker")
POLL_S = 0.5  # how soon a killed worker is noticed whose children keep its pipe open
GRACE_S = 60.0  # for a training to save what it has; a second Ctrl-C does not wait
AGAIN = 1  # tries more for a job that the machine failed, after all others


@dataclass
class _Worker:
    """A worker process and the job that it has, if any."""

    process: subprocess.Popen[str]
    index: int  # of its slot
    ready: bool = False
    job: Job | None = None
    since: float = 0.0

    @property
    def stdin(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


class Local:
    """Runs jobs in `workers` processes that import torch once (default: one per core).

    Each is pinned to cores of its own and, with `gpus`, sees one of so many GPUs, which
    `per_gpu` workers share (then by default there are as many workers as places). Jobs
    start in the order in which they become ready, whichever worker is free. A failing job
    does not stop the others; what waits for a failed pretraining is blocked. A worker
    that dies is one failed attempt and is replaced; what the machine failed is tried once
    more, after all others. Ctrl-C and SIGTERM end the workers, which save first; running
    again goes on from there.

    worker: the command of a worker; --results, --threads, --cores and --runner are added.
    """

    name = "local"

    def __init__(
        self,
        store: Store,
        *,
        workers: int | None = None,
        gpus: int = 0,
        per_gpu: int = 1,
        worker: Sequence[str] = WORKER,
        runner: str = RUNNER,
        progress: Progress | None = None,
    ) -> None:
        self.store = store
        self.slots = slots(
            usable_cores(), usable_gpus(gpus), workers=workers, per_gpu=per_gpu
        )
        self._command = [*worker, "--runner", runner]
        self._progress = progress
        self._pool: list[_Worker] = []

    def check(self) -> None:
        """Local workers need nothing beyond this machine."""

    def preview(self, jobs: Sequence[Job]) -> Preview:
        """Return the jobs in the order of their start."""
        return preview(jobs, self.store.is_done)

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Run `jobs`; return when all have ended or the user interrupts."""
        if not jobs:
            return Outcome()
        run = _Run(jobs, self.store, self._progress, len(self.slots))
        with _sigterm_interrupts(), selectors.DefaultSelector() as self._selector:
            try:
                for index in range(min(len(self.slots), len(jobs))):
                    self._start(run, index)
                while run.order.unfinished:
                    self._step(run)
            except KeyboardInterrupt:
                run.interrupted = True
                run.progress.say("stopping: trainings save what they have")
            finally:
                self._stop()
        return run.end()

    def _step(self, run: _Run) -> None:
        """Give free workers a job, then wait a moment for answers."""
        for worker in self._pool:
            if worker.ready and worker.job is None and (job := run.order.take()):
                self._give(run, worker, job)
        run.progress.show(sum(worker.job is not None for worker in self._pool))
        for key, _ in self._selector.select(timeout=POLL_S):
            self._hear(run, key.data)
        for worker in list(self._pool):
            if worker.process.poll() is not None:
                self._bury(run, worker)

    def _start(self, run: _Run, index: int) -> None:
        slot = self.slots[index]
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(slot.threads)
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        command = [
            *self._command, "--results", str(self.store.root),
            "--threads", str(slot.threads), "--cores", ",".join(map(str, slot.cores)),
        ]  # fmt: skip
        with run.worker_log(index).open("ab") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then ends
            # the worker and the children that it started, as one process group.
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment, text=True, start_new_session=True,
            )  # fmt: skip
        worker = _Worker(process, index)
        self._pool.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)

    def _give(self, run: _Run, worker: _Worker, job: Job) -> None:
        worker.job, worker.since = job, time.monotonic()
        line = {"name": job.name, "nodes": list(job.nodes), "log": str(run.log(job))}
        with contextlib.suppress(BrokenPipeError):  # it died: _bury counts the failure
            worker.stdin.write(json.dumps(line) + "\n")
            worker.stdin.flush()

    def _hear(self, run: _Run, worker: _Worker) -> None:
        line = worker.stdout.readline()
        if not line:
            # End of file comes a little before the process can be waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=POLL_S)
            return
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            return  # something printed at start-up, before the worker moved its stdout
        if "ready" in answer:
            worker.ready = True
        elif worker.job is not None and answer.get("name") == worker.job.name:
            job, worker.job = worker.job, None
            run.finish(job, int(answer["exit"]), answer["error"], answer["wall_s"])

    def _bury(self, run: _Run, worker: _Worker) -> None:
        """Replace a worker that ended by itself; its job has failed."""
        self._selector.unregister(worker.stdout)
        self._pool.remove(worker)
        _end_group(worker.process, signal.SIGKILL)
        _close(worker)
        code = worker.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not worker.ready:
            log = run.worker_log(worker.index)
            lines = log.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), how)
            message = f"a worker could not start: {last.strip()} (log: {log})"
            raise UserError(message)
        if worker.job is not None:
            hint = ", perhaps out of memory" if code == -signal.SIGKILL else ""
            error = f"the worker was ended by {how}{hint}"
            wall_s = time.monotonic() - worker.since
            run.finish(worker.job, int(Exit.FAILED), error, wall_s)
        if run.order.unfinished:
            self._start(run, worker.index)

    def _stop(self) -> None:
        """End all workers with what they started; wait for what they save."""
        for worker in self._pool:
            _end_group(worker.process, signal.SIGTERM)
        end = time.monotonic() + GRACE_S
        with contextlib.suppress(KeyboardInterrupt):
            for worker in self._pool:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(timeout=max(0.0, end - time.monotonic()))
        for worker in self._pool:
            _end_group(worker.process, signal.SIGKILL)
            worker.process.wait()
            _close(worker)
        self._pool.clear()


class _Run:
    """One call of `Local.run`: its order, record, logs and counts."""

    def __init__(
        self, jobs: Sequence[Job], store: Store, progress: Progress | None, workers: int
    ) -> None:
        self.store = store
        self.order = Order(jobs, store.is_done)
        self.submissions = Submissions(store.root)
        array = Array.of("local", [(job,) for job in jobs])
        self.record = self.submissions.new("local", [array])
        totals: dict[str, int] = {}
        for job in jobs:
            totals[job.kind] = totals.get(job.kind, 0) + 1
        self.progress = progress or Progress(totals, workers=workers)
        self.done: list[str] = []
        self.failed: list[Failure] = []
        self.blocked: list[Failure] = []
        self.interrupted = False
        self._again: Counter[str] = Counter()
        for name in self.order.blocked:
            self._block(self.order.jobs[name])

    def log(self, job: Job) -> Path:
        return self.submissions.folder(self.record) / f"{job.name}.log"

    def worker_log(self, index: int) -> Path:
        return self.submissions.folder(self.record) / f"worker-{index}.log"

    def finish(self, job: Job, code: int, error: str | None, wall_s: float) -> None:
        """Count the end of a job and block what waited for it in vain."""
        if code == Exit.FAILED and self._may_try_again(job):
            self.progress.say(f"{job.label}: {error or 'failed'}: tried again later")
            self.order.again(job.name)
            return
        lost = self.order.finish(job.name, good=code == Exit.DONE)
        if code == Exit.DONE:
            self.done.append(job.name)
            self.progress.end(job.kind, "done", label=job.label, seconds=wall_s)
        else:
            state = "blocked" if code == Exit.BLOCKED else "failed"
            reason = error or reason_of(self.store, job.nodes) or f"exit code {code}"
            failure = Failure(job.name, job.label, reason, str(self.log(job)))
            (self.blocked if state == "blocked" else self.failed).append(failure)
            self.progress.end(job.kind, state, label=job.label, seconds=None)
            self.progress.say(f"{state}: {job.label}: {reason} (log: {self.log(job)})")
        for child in lost:
            self._block(child)

    def _may_try_again(self, job: Job) -> bool:
        """Whether the machine failed a job, and has not done so too often in this run."""
        tries = History(self.store).tries(job.nodes)
        if not tries or tries[-1].kind not in MACHINE:
            return False
        self._again[job.name] += 1
        return self._again[job.name] <= AGAIN

    def _block(self, job: Job) -> None:
        reason = self.order.blocked[job.name]
        self.blocked.append(Failure(job.name, job.label, reason, ""))
        self.progress.end(job.kind, "blocked", label=job.label, seconds=None)

    def end(self) -> Outcome:
        """Close the record and return the outcome."""
        self.progress.close()
        self.record.state = "ended"
        self.submissions.write(self.record)
        return Outcome(
            done=tuple(self.done),
            failed=tuple(self.failed),
            blocked=tuple(self.blocked),
            interrupted=self.interrupted,
        )


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, where signals can be had (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _close(worker: _Worker) -> None:
    for pipe in (worker.stdin, worker.stdout):
        with contextlib.suppress(OSError):
            pipe.close()
