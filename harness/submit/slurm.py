"""The SLURM backend: arrays through submitit, `afterok` between them, then return.

No process has to stay: `run` submits everything at once and prints the ids. `afterok`
only opens the gate; the worker looks for its inputs itself (harness.run.worker). What
submitit pickles is one function with strings, and its result pickles are never read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from ..schema.errors import UserError
from ..schema.identity import short
from . import squeue
from .backend import RUNNER, Failure, Outcome
from .records import Array, Submission, Submissions
from .sbatch import Resources, Sbatch
from .squeue import Queued
from .watch import Watch

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store


@dataclass(frozen=True)
class _Batch:
    """Jobs that go into one array, and the node keys that they wait for."""

    array: Array
    jobs: tuple[Job, ...]
    after: tuple[str, ...]


class Slurm:
    """Submits jobs as arrays and returns; with `wait`, stays until they have ended.

    resources: for each profile ('pretrain', 'cell'). say: prints a line. next_commands:
    what the user may type next, printed after the ids.
    """

    name = "slurm"

    def __init__(
        self,
        store: Store,
        *,
        resources: Mapping[str, Resources] | None = None,
        wait: bool = False,
        runner: str = RUNNER,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),  # noqa: T201
        next_commands: Sequence[str] = (),
        poll_s: tuple[float, float] = (5.0, 40.0),
    ) -> None:
        self.store = store
        self._resources = dict(resources or {})
        self._wait = wait
        self._runner = runner
        self._say = say
        self._next = tuple(next_commands)
        self._poll_s = poll_s
        self._submissions = Submissions(store.root.resolve())

    def check(self) -> None:
        """Raise UserError where sbatch is missing. Writes nothing."""
        missing = [name for name in ("sbatch", "squeue", "srun") if which(name) is None]
        if missing:
            message = (
                f"--cluster slurm needs SLURM's {missing[0]}, which is not on PATH: "
                "log in to a node that can submit, or use --cluster local"
            )
            raise UserError(message)

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Submit `jobs` that are not queued yet; wait for all of them if asked to."""
        self.check()
        if not jobs:
            return Outcome()
        with self._submissions.lock():
            queue = squeue.ask()
            if queue is None:
                message = (
                    "SLURM does not answer (squeue failed), so it is unknown what is "
                    "queued already: try again when it does; nothing was submitted"
                )
                raise UserError(message)
            queued = squeue.find_nodes(self._submissions.all(), queue)
            blocked = self._submit(jobs, queued)
        for command in self._next:
            self._say(f"  {command}")
        hopeless = {failure.name for failure in blocked}
        rest = [job for job in jobs if job.name not in hopeless]
        if not self._wait:
            return Outcome(blocked=tuple(blocked), queued=tuple(j.name for j in rest))
        found = Watch(rest, self.store, poll_s=self._poll_s).run()
        return replace(found, blocked=(*blocked, *found.blocked))

    def _submit(
        self, jobs: Sequence[Job], queued: Mapping[str, Queued]
    ) -> list[Failure]:
        """Submit what is new, pretrainings first; return what can never start."""
        new = [
            job for job in jobs if not all(short(key) in queued for key in job.nodes)
        ]
        # Node key -> SLURM id of the job that will publish it.
        ids = {
            key: queued[short(key)].job_id
            for job in jobs
            for key in job.nodes
            if short(key) in queued
        }
        coming = set(ids) | {key for job in new for key in job.nodes}
        blocked, good = [], []
        for job in new:
            lacking = [
                key
                for key in job.after
                if key not in coming and not self.store.is_done(key)
            ]
            if lacking:
                reason = (
                    f"pretraining {lacking[0][:16]} is neither published nor queued"
                )
                blocked.append(Failure(job.name, job.label, reason, ""))
            else:
                good.append(job)
        if len(new) < len(jobs):
            self._say(
                f"{len(jobs) - len(new)} jobs are queued already and stay as they are"
            )
        if good:
            batches = list(_batches(good, squeue.max_array_size()))
            arrays = [batch.array for batch in batches]
            record = self._submissions.new("slurm", arrays)  # before the first sbatch
            self._submit_all(record, batches, ids)
        return blocked

    def _submit_all(
        self, record: Submission, batches: Sequence[_Batch], ids: dict[str, str]
    ) -> None:
        root = Path(__file__).resolve().parents[2]
        sbatch = Sbatch(self._submissions.folder(record), record.id, source=root)
        results = str(self.store.root.resolve())
        sent, total = 0, sum(len(batch.jobs) for batch in batches)
        for batch in batches:
            profile = batch.jobs[0].profile
            try:
                batch.array.job_id = sbatch.submit(
                    batch.array.name,
                    [
                        (results, j.name, list(j.nodes), self._runner)
                        for j in batch.jobs
                    ],
                    self._resources.get(profile) or Resources.of(profile),
                    afterok=sorted({ids[key] for key in batch.after if key in ids}),
                )
            except UserError as problem:
                message = f"{problem} ({sent} of {total} jobs were submitted)"
                raise UserError(message) from problem
            finally:
                # After every sbatch: a crash now loses the ids of one array at most,
                # and those are found again by the comment.
                self._submissions.write(record)
            sent += len(batch.jobs)
            for index, job in enumerate(batch.jobs):
                for key in job.nodes:
                    ids[key] = batch.array.element(index)
        record.state = "submitted"
        self._submissions.write(record)
        listed = ", ".join(str(array.job_id) for array in record.arrays[:20])
        more = ", ..." if len(record.arrays) > 20 else ""
        self._say(
            f"submitted {_counted(sent, 'job')} in {_counted(len(batches), 'array')}: "
            f"{listed}{more} "
            f"(submission {record.id})"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _batches(jobs: Sequence[Job], largest: int) -> Iterator[_Batch]:
    """Yield jobs grouped into arrays: same profile, same parents, at most `largest`.

    A group comes after those that make what it waits for.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: job.kind != "pretrain"):
        groups.setdefault((job.profile, tuple(sorted(job.after))), []).append(job)
    waiting = {key for job in jobs for key in job.nodes}
    counts: dict[str, int] = {}
    while groups:
        free = [group for group in groups if not waiting.intersection(group[1])]
        for profile, after in free or list(groups):
            members = groups.pop((profile, after))
            waiting.difference_update(key for job in members for key in job.nodes)
            for start in range(0, len(members), largest):
                chunk = tuple(members[start : start + largest])
                number = counts.get(profile, 0)
                counts[profile] = number + 1
                name = f"{profile}.{number}"
                yield _Batch(Array.of(name, chunk), chunk, after)
