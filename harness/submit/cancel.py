"""Taking jobs of chosen cells out of SLURM's queue, and nothing else.

A pretraining goes only where no cell that stays waits for it, a job that runs several
cells only where all of them go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..schema.errors import UserError
from ..schema.identity import short
from ..store import Store
from . import squeue
from .records import Submission, Submissions
from .sbatch import cancel

_AT_ONCE = 500  # ids of one scancel: a command line has an end


@dataclass(frozen=True)
class Cancelling:
    """What `cancel` would do: ids of jobs and elements, and how many are shared.

    shared: jobs that stay because cells that were not chosen need them; local: a run on
    this or another machine that is alive.
    """

    ids: tuple[str, ...]
    shared: int
    local: tuple[Submission, ...]


def find(store: Store, chosen: Iterable[str], kept: Iterable[str]) -> Cancelling:
    """Return the queued jobs of the node keys `chosen` that no node of `kept` needs."""
    wanted = {short(key) for key in chosen} - {short(key) for key in kept}
    records = Submissions(store.root).all()
    queue: list[squeue.Queued] | None = []
    if any(record.backend == "slurm" for record in records):
        queue = squeue.ask(records)
    if queue is None:
        message = "SLURM does not answer (squeue failed): try again when it does"
        raise UserError(message)
    elements: dict[str, set[str]] = {}
    for node, entry in squeue.find_nodes(records, queue).items():
        elements.setdefault(entry.job_id, set()).add(node)
    ids = [job for job, nodes in elements.items() if nodes <= wanted]
    some = [job for job, nodes in elements.items() if nodes & wanted]
    local = [one for one in records if one.backend == "local" and one.alive]
    return Cancelling(tuple(sorted(ids)), len(some) - len(ids), tuple(local))


def carry_out(found: Cancelling) -> None:
    """Cancel what was found. Raises UserError with what scancel said."""
    for start in range(0, len(found.ids), _AT_ONCE):
        if said := cancel(found.ids[start : start + _AT_ONCE]):
            message = f"scancel failed: {said} ({start} of {len(found.ids)} cancelled)"
            raise UserError(message)
