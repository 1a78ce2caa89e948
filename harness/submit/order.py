"""Which job may start: the dependency rules that `inline` and `local` share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .backend import Failure, Planned, Preview

if TYPE_CHECKING:
    from ..plan import Job


def preview(jobs: Sequence[Job], is_done: Callable[[str], bool]) -> Preview:
    """Return what a backend of this machine would run, in the order of the start."""
    order = Order(jobs, is_done)
    blocked = [
        Failure(name, order.jobs[name].label, reason, "")
        for name, reason in order.blocked.items()
    ]
    labels = []
    while (job := order.take()) is not None:
        labels.append((job.label,))
        order.finish(job.name, good=True)
    return Preview((Planned("jobs", tuple(labels)),), blocked=tuple(blocked))


class Order:
    """Hands out jobs whose pretrainings are done, pretrainings first.

    A job waits for the jobs that make the nodes it names in `after`. A node of `after`
    that no job makes must be published already, else the job is blocked from the start.
    """

    def __init__(self, jobs: Sequence[Job], is_done: Callable[[str], bool]) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.blocked: dict[str, str] = {}  # job name -> the node or job it lacks
        self._ready: deque[str] = deque()
        self._needs: dict[str, set[str]] = {}
        self._children: dict[str, list[str]] = {}
        maker = {key: job.name for job in jobs for key in job.nodes}
        orphans: dict[str, str] = {}
        for job in sorted(jobs, key=lambda job: job.kind != "pretrain"):
            needs = {maker[key] for key in job.after if key in maker} - {job.name}
            self._needs[job.name] = needs
            for parent in needs:
                self._children.setdefault(parent, []).append(job.name)
            lacking = [k for k in job.after if k not in maker and not is_done(k)]
            if lacking:
                orphans[job.name] = f"pretraining {lacking[0][:16]} is not published"
            elif not needs:
                self._ready.append(job.name)
        for name, reason in orphans.items():
            self._block(name, reason)

    @property
    def unfinished(self) -> int:
        """How many jobs have neither ended nor been blocked."""
        return len(self._needs) - len(self.blocked)

    def take(self) -> Job | None:
        """Return a job that may start now, or None."""
        return self.jobs[self._ready.popleft()] if self._ready else None

    def again(self, name: str) -> None:
        """Let a job that was taken start once more, after all that may start now."""
        self._ready.append(name)

    def finish(self, name: str, *, good: bool) -> list[Job]:
        """Record the end of a job; return the jobs that its failure blocks."""
        del self._needs[name]
        if not good:
            before = set(self.blocked)
            for child in self._children.get(name, ()):
                self._block(child, f"waits for {self.jobs[name].label}, which failed")
            return [self.jobs[child] for child in self.blocked if child not in before]
        for child in self._children.get(name, ()):
            needs = self._needs[child]
            needs.discard(name)
            if not needs and child not in self.blocked:
                self._ready.append(child)
        return []

    def _block(self, name: str, reason: str) -> None:
        if name in self.blocked:
            return
        self.blocked[name] = reason
        for child in self._children.get(name, ()):
            self._block(child, reason)
