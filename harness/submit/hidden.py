"""Jobs of other people on a site whose squeue hides them (PrivateData=jobs).

Two people may share a results folder. What the other has submitted cannot be seen in the
queue there; it is taken to be queued until an attempt at it has ended, or until its
record is so old that no queue holds it any more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..store.records import user_name
from .reasons import CLOCK_S, started
from .records import Submission
from .squeue import Queued, output

if TYPE_CHECKING:
    from ..store import Store

_PRIVATE = re.compile(r"^PrivateData\s*=.*\bjobs\b", re.MULTILINE)
_OLD_S = 14 * 86_400.0  # chosen here; `harness retry` does not wait for it


def find_hidden(
    records: Iterable[Submission], queue: Iterable[Queued], store: Store
) -> dict[str, Queued]:
    """Return {node (first 16 digits): its job} of what others may have queued."""
    visible = {entry.comment for entry in queue}
    others = [
        record
        for record in records
        if record.backend == "slurm"
        and record.user not in {"", user_name()}
        and record.id not in visible
        and time.time() - record.created < _OLD_S
    ]
    if not others or not _PRIVATE.search(output(["scontrol", "show", "config"]) or ""):
        return {}
    found: dict[str, Queued] = {}
    for record in others:
        reason = f"submitted by {record.user}, whose jobs this site hides"
        for array in record.arrays:
            for index, nodes in enumerate(array.nodes if array.job_id else ()):
                if not _ended(store, nodes, record):
                    entry = Queued(
                        array.element(index), "PENDING", reason, record.id, array.name
                    )
                    found.update(dict.fromkeys(nodes, entry))
    return found


def _ended(store: Store, nodes: Iterable[str], record: Submission) -> bool:
    """Whether an attempt at any node has ended badly since the submission."""
    return any(
        attempt["state"] in {"failed", "lost", "blocked"}
        and started(attempt) >= record.created - CLOCK_S
        for node in nodes
        if store.attempt_names(node)
        for attempt in store.attempts(node)
    )
