"""Waiting for SLURM jobs, for people who want to: one squeue call for all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schema.identity import short
from .backend import Failure, Outcome
from .progress import Progress
from .queue import PAUSE_S, PacedQueue
from .states import Observer, Standing

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store

GRACE_S = 10.0  # network disks show a manifest a little after its job left the queue


class Watch:
    """Polls until none of `jobs` is queued.

    poll_s: the first pause and the longest between two looks at the results, in
    seconds. SLURM is asked no more often than the longest, and less often when it is
    slow or down. Ctrl-C stops the waiting and leaves the jobs to SLURM.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        store: Store,
        *,
        poll_s: tuple[float, float] = (5.0, PAUSE_S),
        grace_s: float = GRACE_S,
        progress: Progress | None = None,
    ) -> None:
        self._store = store
        self._left = {job.name: job for job in jobs}
        self._missed: dict[str, float] = {}  # job -> when the queue first lacked it
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._ask = PacedQueue(poll_s[1], 5 * poll_s[1])
        totals: Counter[str] = Counter(job.kind for job in jobs)
        self._progress = progress or Progress(totals)
        self._done: list[str] = []
        self._failed: list[Failure] = []
        self._blocked: list[Failure] = []

    def run(self) -> Outcome:
        """Wait; return what became of each job."""
        pause = self._poll_s[0]
        try:
            while self._left:
                self._look()
                if self._left:
                    time.sleep(min(pause, 1.0) if self._missed else pause)
                    pause = min(pause * 1.3, self._poll_s[1])
        except KeyboardInterrupt:
            self._progress.say("the jobs go on without this command")
        self._progress.close()
        return Outcome(
            tuple(self._done),
            tuple(self._failed),
            tuple(self._blocked),
            tuple(self._left),
            interrupted=bool(self._left),
        )

    def _look(self) -> None:
        observer = Observer(self._store, self._ask)
        if not observer.slurm_answers:
            return
        held = Counter[str]()
        for job in list(self._left.values()):
            keys = [key for key in job.nodes if key not in observer.done]
            needs = job.after[0] if job.after else None
            found = observer.job(keys, needs) if keys else Standing("done")
            if found.state in {"running", "pending"}:
                held[found.state] += 1
                self._missed.pop(job.name, None)
            elif self._is_final(job, found, observer):
                self._end(job, found)
        self._progress.show(held["running"])

    def _is_final(self, job: Job, found: Standing, observer: Observer) -> bool:
        """Whether a job's state is sure, or has stayed so for the time of grace."""
        blame = found.state
        if blame == "blocked" and job.after:
            blame = observer.pretraining(job.after[0]).state
        if blame in {"done", "failed", "blocked"}:
            return True
        now = time.monotonic()
        return now - self._missed.setdefault(job.name, now) >= self._grace_s

    def _end(self, job: Job, found: Standing) -> None:
        del self._left[job.name]
        self._missed.pop(job.name, None)
        if found.state == "done":
            self._done.append(job.name)
            seconds = self._seconds(job)
            self._progress.end(job.kind, "done", label=job.label, seconds=seconds)
            return
        state = "blocked" if found.state == "blocked" else "failed"
        reason = found.reason or f"{short(job.name)} left the queue without a result"
        failure = Failure(job.name, job.label, reason, found.log)
        (self._blocked if state == "blocked" else self._failed).append(failure)
        self._progress.end(job.kind, state, label=job.label, seconds=None)
        self._progress.say(f"{found.state}: {job.label}: {reason}")

    def _seconds(self, job: Job) -> float | None:
        manifests = [self._store.manifest(key) for key in job.nodes]
        return sum(float(m.run.get("wall_s") or 0.0) for m in manifests if m) or None
