"""What SLURM has queued, asked once for all jobs. Accounting is never needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from .records import Submission

# Separated by '|', with the two fields that people choose at the end.
_FORMAT = "%i|%T|%r|%k|%j"
_TIMEOUT_S = 60
# The process has ended; SLURM is only cleaning up.
_ENDED = frozenset({"COMPLETING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})
_ARRAY_SIZE = re.compile(r"^MaxArraySize\s*=\s*(\d+)", re.MULTILINE)
_DEFAULT_ARRAY_SIZE = 1001  # SLURM's own default


@dataclass(frozen=True)
class Queued:
    """One queued job or array element: its id, SLURM's state and why it waits."""

    job_id: str
    state: str
    reason: str
    comment: str
    job_name: str

    @property
    def running(self) -> bool:
        """Whether it holds resources."""
        return self.state not in {"PENDING", "REQUEUED", "SPECIAL_EXIT"}


def ask() -> list[Queued] | None:
    """Return this user's queued jobs, or None if SLURM is absent or does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--me", "--array", "--noheader", f"--format={_FORMAT}"]
    text = _output(command)
    if text is None:
        return None
    rows = (line.split("|", 4) for line in text.splitlines())
    return [
        Queued(*row) for row in rows if len(row) == 5 and row[1] not in _ENDED
    ]  # fmt: skip


def repair(record: Submission, queue: Iterable[Queued]) -> bool:
    """Fill in ids that were lost between sbatch and the record; say whether any were.

    The comment of a job is the id of its submission, its name that of its array.
    """
    lacking = {array.name: array for array in record.arrays if array.job_id is None}
    found = False
    for entry in queue:
        if entry.comment == record.id and entry.job_name in lacking:
            lacking[entry.job_name].job_id = entry.job_id.partition("_")[0]
            found = True
    return found


def find_nodes(
    records: Iterable[Submission], queue: Iterable[Queued]
) -> dict[str, Queued]:
    """Return {node: queue entry of its job}; nodes by the first 16 digits of keys."""
    records = [record for record in records if record.backend == "slurm"]
    entries = {entry.job_id: entry for entry in queue}
    for record in records:
        repair(record, entries.values())
    found = {}
    for record in records:
        for array in record.arrays:
            for index, nodes in enumerate(array.nodes):
                # Ids start again where a controller is set up anew: compare the
                # comment.
                entry = entries.get(array.element(index))
                if entry is not None and entry.comment == record.id:
                    found.update(dict.fromkeys(nodes, entry))
    return found


def max_array_size() -> int:
    """Return how many elements an array may have: the site's MaxArraySize.

    It caps the index, which starts at 0, so an array may have as many elements.
    """
    text = _output(["scontrol", "show", "config"]) or ""
    match = _ARRAY_SIZE.search(text)
    return max(1, int(match[1])) if match else _DEFAULT_ARRAY_SIZE


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
