"""Submission records: what was handed to a backend, written before it is handed over.

<results>/submissions/<id>.json is written whole with state 'intent' before the first
job starts or the first `sbatch`, and again when ids are known. The folder <id>/ beside
it holds the logs of its jobs.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..schema.identity import short
from ..store.records import user_name

if TYPE_CHECKING:
    from ..plan import Job
    from .resources import Resources


@dataclass
class Array:
    """Jobs that are submitted with one `sbatch`; element i begins with jobs[i].

    jobs: names, of the first where an element runs several; nodes: the first 16 digits
    of the keys of all nodes of each element; job_id: None until SLURM has given one;
    time_min, mem: what each element asks for, minutes and MB. An array of one element
    is a plain job.
    """

    name: str
    jobs: list[str]
    nodes: list[list[str]]
    job_id: str | None = None
    time_min: int | None = None
    mem: int | None = None

    @classmethod
    def of(
        cls,
        name: str,
        elements: Iterable[Sequence[Job]],
        resources: Resources | None = None,
    ) -> Array:
        """Return the array of `elements`, not submitted yet."""
        listed = list(elements)
        nodes = [[short(key) for job in jobs for key in job.nodes] for jobs in listed]
        array = cls(name, [jobs[0].name for jobs in listed], nodes)
        if resources is not None:
            array.time_min, array.mem = resources.time_min, resources.mem
        return array

    def element(self, index: int) -> str:
        """Return the SLURM id of job `index`; needs `job_id`."""
        return self.job_id or "" if len(self.jobs) == 1 else f"{self.job_id}_{index}"


@dataclass
class Submission:
    """One `run`; created: seconds since 1970; state: intent, submitted or ended.

    user: who owns its jobs, '' in records of before this was kept; command: 'run',
    'resume' or 'retry'; asked: the profile and what the command line overruled.
    """

    id: str
    backend: str
    arrays: list[Array]
    state: str = "intent"
    created: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    user: str = ""
    command: str = "run"
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the process that made the record still runs, so far as is known."""
        return self.state != "ended" and is_alive(self.host, self.pid)


class Place(NamedTuple):
    """Where a job stands in the records: `element` of an array of a submission."""

    record: Submission
    array: Array
    element: int

    @property
    def sent(self) -> bool:
        """Whether SLURM took the job: its array has an id."""
        return self.array.job_id is not None


def places(records: Iterable[Submission]) -> dict[str, Place]:
    """Return {node: its place} (first 16 digits of keys); a later record wins.

    Looked up by node and not by job: a job is called by its first missing evaluation,
    and so may be called otherwise after a part of it is done.
    """
    return {
        node: Place(record, array, element)
        for record in records
        for array in record.arrays
        for element, nodes in enumerate(array.nodes)
        for node in nodes
    }


class Submissions:
    """The folder <results>/submissions."""

    def __init__(self, results: Path) -> None:
        self.root = results / "submissions"

    def new(self, backend: str, arrays: list[Array], **more: Any) -> Submission:
        """Return a record that is on disk, in state 'intent'; more: its other fields."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        name = f"{stamp}-{secrets.token_hex(3)}"
        record = Submission(name, backend, arrays, user=user_name(), **more)
        self.folder(record).mkdir(parents=True)
        self.write(record)
        return record

    def folder(self, record: Submission) -> Path:
        """Return where the logs of a submission's jobs are."""
        return self.root / record.id

    def write(self, record: Submission) -> None:
        """Replace the record's file whole."""
        path = self.root / f"{record.id}.json"
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with draft.open("w", encoding="utf-8") as out:
            # Neither json.dump nor asdict: both take seconds where arrays are large.
            arrays = [vars(array) for array in record.arrays]
            out.write(json.dumps({**vars(record), "arrays": arrays}))
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)

    def all(self) -> list[Submission]:
        """Return every readable record, oldest first."""
        found = []
        for path in sorted(self.root.glob("*.json")):
            try:
                fields = json.loads(path.read_text(encoding="utf-8"))
                arrays = [Array(**array) for array in fields.pop("arrays")]
                found.append(Submission(arrays=arrays, **fields))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # half-copied by hand: what it submitted shows as missing
        return found

    def log_of(self, place: Place) -> Path:
        """Return the log of a job; it may not exist (yet)."""
        folder = self.folder(place.record)
        if place.record.backend == "slurm":
            element = place.array.element(place.element)
            return folder / place.array.name / f"{element}_0_log.out"
        return folder / f"{place.array.jobs[place.element]}.log"


def is_alive(host: str, pid: int | str) -> bool:
    """Whether process `pid` runs on this machine; False for other machines."""
    if host != socket.gethostname() or not str(pid).isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
