"""The SLURM backend: arrays through submitit, `afterok` between them, then return.

No process has to stay: `run` submits everything at once and prints the ids. `afterok`
only opens the gate; the worker looks for its inputs itself (harness.run.worker). What
submitit pickles in a job is never read again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from shutil import which
from typing import TYPE_CHECKING, Any

from ..matrix.profiles import Profile
from ..schema.errors import UserError
from ..schema.identity import short
from ..store.durable import writing
from ..store.lock import Lock
from . import arrays, squeue
from .arrays import Batch
from .backend import RUNNER, Failure, Outcome, Planned, Preview
from .hidden import find_hidden
from .records import Submission, Submissions
from .resources import Resources, by_job
from .sbatch import QueueFull, Sbatch, Site, cancel, dependencies, settle
from .squeue import Limits, Queued
from .states import NEVER
from .watch import Watch

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store

_SILENT = (
    "SLURM does not answer (squeue failed), so it is unknown what is queued already: "
    "try again when it does; nothing was submitted"
)
Grow = Callable[["Job", Resources], Resources]


class Slurm:
    """Submits jobs as arrays and returns; with `wait`, stays until they have ended.

    profile: what jobs ask for; chosen: fields of it that the command line overrules;
    grow: what a job asks for after earlier failures; canary: send one cell of each kind
    first; about: further fields of the submission's record. say: prints a line.
    next_commands: what the user may type next, printed after the ids.
    """

    name = "slurm"

    def __init__(
        self,
        store: Store,
        *,
        profile: Profile | None = None,
        chosen: Mapping[str, Any] | None = None,
        grow: Grow = lambda _, asked: asked,
        canary: bool = False,
        about: Mapping[str, Any] | None = None,
        wait: bool = False,
        runner: str = RUNNER,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),  # noqa: T201
        next_commands: Sequence[str] = (),
        poll_s: tuple[float, float] = (5.0, 40.0),
    ) -> None:
        self.store = store
        self._profile = profile or Profile()
        self._of_profile = by_job(self._profile, dict(chosen or {}))
        self._grow = grow
        self._nodes: dict[str | None, int] = {}  # partition -> how many it has
        self._canary = canary
        self._about = dict(about or {})
        self._wait = wait
        self._runner = runner
        self._say = say
        self._next = tuple(next_commands)
        self._poll_s = poll_s
        self._results = store.root.resolve()
        self._submissions = Submissions(self._results)
        self._lock = Lock(self._submissions.root / ".lock")

    def _resources(self, job: Job) -> Resources:
        """Return a job's request, which keeps off at most half of a partition's nodes.

        A job without a node to run on would wait for ever.
        """
        asked = self._grow(job, self._of_profile(job))
        if not asked.exclude:
            return asked
        if asked.partition not in self._nodes:
            self._nodes[asked.partition] = squeue.node_count(asked.partition)
        most = self._nodes[asked.partition] // 2
        return replace(asked, exclude=asked.exclude[:most])

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
        found = self._round(jobs)
        for command in self._next:
            self._say(f"  {command}")
        while self._wait:
            apart = {*(failure.name for failure in found.blocked), *found.left}
            watched = [job for job in jobs if job.name not in apart]
            ended = Watch(watched, self.store, poll_s=self._poll_s).run()
            found = replace(
                ended, blocked=(*found.blocked, *ended.blocked), left=found.left
            )
            if not found.left or found.interrupted:
                break
            rest = self._round([job for job in jobs if job.name in set(found.left)])
            if len(rest.left) == len(found.left):
                time.sleep(self._poll_s[1])  # others fill the queue: no room yet
            found = replace(rest, blocked=(*found.blocked, *rest.blocked))
        return found

    def preview(self, jobs: Sequence[Job]) -> Preview:
        """Return the arrays that `run` would submit now. Writes and submits nothing."""
        records = self._submissions.all()
        queue = squeue.ask(records)
        if queue is None and which("squeue") is not None:
            raise UserError(_SILENT)
        queue = queue or []
        new, ids, blocked = self._new(jobs, self._queued(records, queue))
        limits = squeue.limits()
        batches = list(arrays.batches(new, self._resources, largest=limits.array))
        kept, left = arrays.within(batches, self._room(limits, queue))
        sbatch = self._sbatch("SUBMISSION")
        planned = []
        for batch in kept:
            planned.append(
                Planned(
                    batch.array.name,
                    tuple(tuple(job.label for job in jobs) for jobs in batch.elements),
                    tuple(filter(None, dependencies(batch, ids).split(","))),
                    sbatch.script(batch, ids),
                )
            )
            arrays.note_ids(batch, f"ID_OF_{batch.array.name}", ids)
        count = len(jobs) - len(new) - len(blocked)
        return Preview(tuple(planned), count, len(left), tuple(blocked))

    def _round(self, jobs: Sequence[Job]) -> Outcome:
        """Submit what is neither queued nor published, as far as there is room."""
        with writing(self._results), self._lock.held(say=self._say):
            records = self._submissions.all()
            settle(records)
            queue = squeue.ask(records)
            if queue is None:
                raise UserError(_SILENT)
            for record in records:
                if squeue.repair(record, queue):
                    self._submissions.write(record)
            queue = self._unstick(records, queue, jobs)
            done = self.store.done()
            jobs = [job for job in jobs if not all(key in done for key in job.nodes)]
            new, ids, blocked = self._new(jobs, self._queued(records, queue))
            if len(new) + len(blocked) < len(jobs):
                count = len(jobs) - len(new) - len(blocked)
                self._say(f"{_counted(count, 'job')} queued already, left as they are")
            left = self._submit(new, ids, queue) if new else []
        apart = {*(failure.name for failure in blocked), *left}
        sent = tuple(job.name for job in jobs if job.name not in apart)
        return Outcome(blocked=tuple(blocked), queued=sent, left=tuple(left))

    def _queued(
        self, records: Sequence[Submission], queue: Sequence[Queued]
    ) -> dict[str, Queued]:
        """Return {node: its queued job}; `retry` does not wait for what is hidden."""
        found = squeue.find_nodes(records, queue)
        if self._about.get("command") == "retry":
            return found
        return {**find_hidden(records, queue, self.store), **found}

    def _unstick(
        self, records: Sequence[Submission], queue: list[Queued], jobs: Sequence[Job]
    ) -> list[Queued]:
        """Cancel queued jobs that can never start; they are then submitted again.

        SLURM keeps what waits for a failed job for ever where it does not cancel it.
        """
        wanted = {short(key) for job in jobs for key in job.nodes}
        stuck = {
            entry.job_id
            for node, entry in squeue.find_nodes(records, queue).items()
            if node in wanted and NEVER in entry.reason
        }
        if not stuck:
            return queue
        if said := cancel(sorted(stuck)):
            message = f"jobs that can never start could not be cancelled: {said}"
            raise UserError(message)
        self._say(f"{_counted(len(stuck), 'job')} could never start: submitted anew")
        return [entry for entry in queue if entry.job_id not in stuck]

    def _new(
        self, jobs: Sequence[Job], queued: Mapping[str, Queued]
    ) -> tuple[list[Job], dict[str, str], list[Failure]]:
        """Return jobs to submit, {node key: SLURM id} of queued ones, and the hopeless."""
        new = [
            job for job in jobs if not all(short(key) in queued for key in job.nodes)
        ]
        # Node key -> SLURM id of the job that will publish it.
        ids = {
            key: queued[short(key)].job_id
            for job in jobs
            for key in (*job.nodes, *job.after)
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
        if self._canary:
            good = arrays.canary(good, self._resources)
        return good, ids, blocked

    def _submit(
        self, jobs: Sequence[Job], ids: dict[str, str], queue: Sequence[Queued]
    ) -> list[str]:
        """Submit jobs; return the names of those that there is no room for."""
        limits = squeue.limits()
        batches = list(arrays.batches(jobs, self._resources, largest=limits.array))
        batches, left = arrays.within(batches, self._room(limits, queue))
        if not batches:
            self._say(f"no job was submitted: {_full_message(len(left))}")
            return left
        listed = [batch.array for batch in batches]
        # Before the first sbatch.
        record = self._submissions.new("slurm", listed, **self._about)
        try:
            sent = self._submit_all(record, batches, ids)
        except QueueFull:
            sent = sum(batch.array.job_id is not None for batch in batches)
            if not sent:
                raise
        left = [*(job.name for batch in batches[sent:] for job in batch.jobs), *left]
        record.arrays = [batch.array for batch in batches[:sent]]
        record.state = "submitted"
        self._submissions.write(record)
        self._say_sent(record, sum(len(batch.jobs) for batch in batches[:sent]))
        if left:
            self._say(_full_message(len(left)))
        return left

    def _submit_all(
        self, record: Submission, batches: Sequence[Batch], ids: dict[str, str]
    ) -> int:
        sbatch = self._sbatch(record.id)
        sent, total = 0, sum(len(batch.jobs) for batch in batches)
        for batch in batches:
            try:
                self._lock.still_mine()
                batch.array.job_id = sbatch.submit(batch, ids)
            except QueueFull:
                raise
            except UserError as problem:
                message = f"{problem} ({sent} of {total} jobs were submitted)"
                raise UserError(message) from problem
            finally:
                # After every sbatch: a crash now loses the ids of one array at most,
                # and those are found again by the comment.
                self._submissions.write(record)
            sent += len(batch.jobs)
            arrays.note_ids(batch, batch.array.job_id, ids)
        return len(batches)

    def _sbatch(self, name: str) -> Sbatch:
        return Sbatch(
            self._submissions.root / name,
            name,
            results=self._results,
            runner=self._runner,
            site=Site.of(self._profile),
        )

    def _room(self, limits: Limits, queue: Sequence[Queued]) -> int | None:
        """Return how many more elements may be queued, None if there is no limit."""
        most = [n for n in (limits.jobs, self._profile.max_jobs) if n is not None]
        return max(0, min(most) - len(queue)) if most else None

    def _say_sent(self, record: Submission, jobs: int) -> None:
        listed = ", ".join(str(array.job_id) for array in record.arrays[:20])
        more = ", ..." if len(record.arrays) > 20 else ""
        self._say(
            f"submitted {_counted(jobs, 'job')} in "
            f"{_counted(len(record.arrays), 'array')}: {listed}{more} "
            f"(submission {record.id})"
        )


def _full_message(count: int) -> str:
    return (
        f"{_counted(count, 'job')} not submitted: no more may be queued now; "
        "`harness resume` submits them when some have ended (--watch does so itself)"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
