"""Data made ready before anything is submitted: every case read, checked and cached.

A fault in the data is told before a job starts and before a spec is written; what is
cached serves all worker processes of all runs until the data or its preprocessing
change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..schema.errors import DataError
from ..volumes.cache import build_cache, open_cache
from ..volumes.faults import SHOWN
from ..volumes.formats import open_dataset
from .cells import Job
from .plan import Plan

Progress = Callable[[str, int, int], None]  # (task, cases done, cases in all)


def prepare_data(
    plan: Plan,
    jobs: Iterable[Job],
    results: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    warn: Callable[[str], object] | None = None,
) -> list[str]:
    """Cache the datasets that `jobs` need; return the tasks that were not cached yet.

    Then the voxels of corpora are compared with those of test sides.
    results: the results folder; workers: threads that read cases; warn: called with a
    line for each case that is left out since it cannot be read. Raises DataError with
    the faults of the first dataset that has any; nothing of it is left on disk.
    """
    prepared = []
    for task in sorted({task for job in jobs for task in _tasks(plan, job)}):
        listing = plan.listing(task)
        folder = results / f"cache/data/{listing.fingerprint[:16]}"
        if folder.is_dir():
            continue
        if listing.cases is None:
            raise DataError(plan.missing_data[task])
        generator = plan.matrix.content.generator(listing.spec)
        dataset = open_dataset(task, listing.spec, plan.matrix.data_roots, generator)
        show = _of_task(progress, task) if progress else None
        try:
            build_cache(dataset, listing.cases, folder, show, workers)
        except DataError as error:
            # Files are named relative to the dataset, and two datasets may share names.
            msg = f"{dataset.root or f'task {task!r}'}: {error}"
            raise DataError(msg) from error
        if warn is not None:
            for line in _left_out(task, open_cache(folder).unreadable):
                warn(line)
        prepared.append(task)
    plan.overlaps.compare(results)
    return prepared


def _left_out(task: str, unreadable: Mapping[str, str]) -> list[str]:
    """Return lines on the cases that skip_unreadable left out of a cache."""
    lines = [f"{task}: left out: {fault}" for fault in unreadable.values()]
    if (more := len(lines) - SHOWN) > 0:
        end = f"and {more} more, which `harness data check {task}` lists"
        lines[SHOWN:] = [f"{task}: {end}"]
    return lines


def _tasks(plan: Plan, job: Job) -> list[str]:
    return [task for key in job.nodes for task in plan.tasks_of(key)]


def _of_task(progress: Progress, task: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(task, done, total)
