"""What SLURM has queued, asked once for all jobs. Accounting is never needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from ..store.records import user_name
from .records import Submission

# Separated by '|', with the two fields that people choose at the end.
_FORMAT = "%i|%T|%r|%k|%j"
_TIMEOUT_S = 60
# The process has ended; SLURM is only cleaning up.
_ENDED = frozenset({"COMPLETING", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})
_SETTING = re.compile(
    r"^(MaxArraySize|MaxJobCount|AccountingStorageType)\s*=\s*(\S+)", re.MULTILINE
)
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


@dataclass(frozen=True)
class Limits:
    """What a site allows: elements of one array, and jobs of one person at once.

    MaxArraySize caps the index, which starts at 0, so an array may have as many elements.
    """

    array: int = _DEFAULT_ARRAY_SIZE
    jobs: int | None = None


def ask(records: Iterable[Submission] = ()) -> list[Queued] | None:
    """Return this user's queued jobs, or None if SLURM is absent or does not answer.

    records: their owners' jobs are asked for too: people may share a results folder.
    """
    if shutil.which("squeue") is None:
        return None
    others = {record.user for record in records if record.backend == "slurm"} - {""}
    command = ["squeue", "--array", "--noheader", f"--format={_FORMAT}"]
    users = ",".join(sorted({user_name(), *others}))
    text = output([*command, f"--user={users}"])
    if text is None and others:  # squeue refuses a list with somebody it does not know
        text = output([*command, "--me"])
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


def limits() -> Limits:
    """Return the site's limits, from scontrol and, with accounting, from sacctmgr."""
    text = output(["scontrol", "show", "config"]) or ""
    said = dict(_SETTING.findall(text))
    jobs = _number(said.get("MaxJobCount"))
    if "none" not in said.get("AccountingStorageType", "none"):
        jobs = _least(jobs, _of_association())
    return Limits(_number(said.get("MaxArraySize")) or _DEFAULT_ARRAY_SIZE, jobs)


def node_count(partition: str | None) -> int:
    """Return how many nodes a partition has (None: the default one), 0 if not known."""
    text = output(["sinfo", "--noheader", "--Node", "--format=%n|%P"]) or ""
    rows = [line.partition("|")[::2] for line in text.splitlines()]
    # The default partition's name ends with an asterisk.
    wanted = partition.split(",") if partition else None
    return len(
        {
            node
            for node, name in rows
            if (name.endswith("*") if wanted is None else name.rstrip("*") in wanted)
        }
    )


def _of_association() -> int | None:
    """Return the fewest queued jobs that any of the user's accounts allows."""
    text = output(
        ["sacctmgr", "--noheader", "--parsable2", "show", "assoc",
         f"user={user_name()}", "format=MaxSubmitJobs"]
    )  # fmt: skip
    return _least(*(_number(line) for line in (text or "").splitlines()))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None


def _least(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number), default=None)


def output(command: list[str]) -> str | None:
    """Return what one of SLURM's commands says, or None if it is absent or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
