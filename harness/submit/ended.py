"""Submissions that are over: every node that they were to compute is published."""

from __future__ import annotations

from collections.abc import Iterator

from ..store import Store
from ..store.clean import Waste, size_of
from .records import Submissions


def find(store: Store) -> Iterator[Waste]:
    """Yield scripts, job files, logs and records of submissions that are over.

    A submission with a node that is missing stays: its logs say why, and its jobs may
    still be queued. So does one of a process that is still alive.
    """
    submissions = Submissions(store.root)
    for record in submissions.all():
        nodes = [node for a in record.arrays for job in a.nodes for node in job]
        if record.alive or not all(store.is_done(node) for node in nodes):
            continue
        for path in (
            submissions.folder(record),
            submissions.root / f"{record.id}.json",
        ):
            if path.exists():
                yield Waste(path, "logs of submissions that are over", size_of(path))
