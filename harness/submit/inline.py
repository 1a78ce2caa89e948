"""The inline backend: jobs in this process, one after the other, for debugging."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schema.errors import Exit
from .backend import RUNNER, Failure, Outcome, Preview
from .order import Order, preview
from .progress import Progress
from .reasons import reason_of

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store


class Inline:
    """Runs jobs here, where a debugger reaches them. Imports torch when it runs."""

    name = "inline"

    def __init__(
        self, store: Store, *, runner: str = RUNNER, progress: Progress | None = None
    ) -> None:
        self.store = store
        self._runner = runner
        self._progress = progress

    def check(self) -> None:
        """Nothing is needed."""

    def preview(self, jobs: Sequence[Job]) -> Preview:
        """Return the jobs in the order of their start."""
        return preview(jobs, self.store.is_done)

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Run `jobs`, each after what it needs; a failing job does not stop others."""
        # Here and not above: the runner imports torch, which planning must not wait
        # for.
        from ..run.cores import allowed_cores
        from ..run.worker import load_runner, run_job

        if not jobs:
            return Outcome()
        runner, order = load_runner(self._runner), Order(jobs, self.store.is_done)
        totals = {kind: sum(job.kind == kind for job in jobs) for kind in _kinds(jobs)}
        progress = self._progress or Progress(totals)
        done: list[str] = []
        failed: list[Failure] = []
        blocked = [
            Failure(name, order.jobs[name].label, reason, "")
            for name, reason in order.blocked.items()
        ]
        interrupted = False
        results, threads = str(self.store.root), allowed_cores()
        while (job := order.take()) is not None:
            start, error = time.monotonic(), None
            try:
                code = run_job(
                    results, job.name, job.nodes, threads=threads, runner=runner
                )
            except KeyboardInterrupt:
                interrupted = True
                break
            except Exception as problem:
                code, error = int(Exit.FAILED), f"{type(problem).__name__}: {problem}"
            lost = order.finish(job.name, good=code == Exit.DONE)
            if code == Exit.DONE:
                done.append(job.name)
                seconds = time.monotonic() - start
                progress.end(job.kind, "done", label=job.label, seconds=seconds)
            else:
                state = "blocked" if code == Exit.BLOCKED else "failed"
                reason = (
                    error or reason_of(self.store, job.nodes) or f"exit code {code}"
                )
                failure = Failure(job.name, job.label, reason, "")
                (blocked if state == "blocked" else failed).append(failure)
                progress.end(job.kind, state, label=job.label, seconds=None)
                progress.say(f"{state}: {job.label}: {reason}")
            for child in lost:
                blocked.append(
                    Failure(child.name, child.label, order.blocked[child.name], "")
                )
                progress.end(child.kind, "blocked", label=child.label, seconds=None)
            progress.show(0)
        progress.close()
        return Outcome(tuple(done), tuple(failed), tuple(blocked), (), interrupted)


def _kinds(jobs: Sequence[Job]) -> list[str]:
    return sorted({job.kind for job in jobs})
