"""What ended a try at a job: told by its attempt, by SLURM, and by the job's log.

    oom, timeout, node_fail, preempted   the machine: worth another try
    killed, disk_full                    the machine, as far as is known
    cancelled, interrupted               somebody stopped it
    data, code                           its own fault: the same again without a change
    blocked                              what it starts from was not there

A try is an attempt at one of the job's nodes, or a submission that ended without any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .. import provenance
from ..schema.identity import short
from . import squeue
from .jobinfo import of_job
from .reasons import killed_by_slurm, one_line, started
from .records import Place, Submission, Submissions
from .squeue import Queued

if TYPE_CHECKING:
    from ..store import Store

Kind = Literal[
    "oom", "timeout", "node_fail", "preempted", "killed", "disk_full", "cancelled",
    "interrupted", "data", "code", "blocked",
]  # fmt: skip
MACHINE = frozenset({"oom", "timeout", "node_fail", "killed", "disk_full"})
_ASKED = 200  # jobs that SLURM is asked about, one by one; the others were just killed
_STATES: dict[str, Kind] = {
    "OUT_OF_MEMORY": "oom", "TIMEOUT": "timeout", "DEADLINE": "timeout",
    "NODE_FAIL": "node_fail", "BOOT_FAIL": "node_fail", "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
}  # fmt: skip
_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"out.of.memory|oom.kill|OOM", re.I), "oom"),
    (re.compile(r"TIME LIMIT"), "timeout"),
    (re.compile(r"NODE FAIL|node failure", re.I), "node_fail"),
    (re.compile(r"PREEMPT", re.I), "preempted"),
    (re.compile(r"CANCELLED"), "cancelled"),
)


class Code(NamedTuple):
    """A state of the code: of the engine (version, git) and of content files (sha256)."""

    engine: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Try:
    """One try at a job: when it began (seconds since 1970), how and where it ended.

    traceback: equal for the same fault in two cells; code: what it was computed with.
    """

    began: float
    kind: Kind
    reason: str
    node: str = ""
    traceback: str | None = None
    code: Code = field(default_factory=Code)


class History:
    """The tries at jobs, from attempts, records of submissions and, once, from SLURM.

    records: of all submissions; queue: what SLURM has queued, None if it does not
    answer: then no job is taken to be over.
    """

    def __init__(
        self,
        store: Store,
        records: Sequence[Submission] = (),
        queue: Iterable[Queued] | None = (),
    ) -> None:
        self._store = store
        self._submissions = Submissions(store.root)
        self._answers = queue is not None
        self._queued = squeue.find_nodes(records, queue or ())
        self._planned = frozenset(store.nodes())
        self._places: dict[str, list[Place]] = {}
        for record in records:
            for array in record.arrays if record.backend == "slurm" else ():
                for element, nodes in enumerate(array.nodes):
                    for node in nodes if array.job_id is not None else ():
                        place = Place(record, array, element)
                        self._places.setdefault(node, []).append(place)
        self._said: dict[
            str, dict[str, str]
        ] = {}  # id of a job -> what SLURM says of it

    def tries(self, keys: Sequence[str]) -> list[Try]:
        """Return the tries at the job of the nodes `keys` that have ended, oldest first."""
        found: list[Try] = []
        seen: set[str] = set()
        for key in keys:
            if short(key) not in self._planned or not self._store.attempt_names(key):
                continue
            attempts = self._store.attempts(key)
            for record, later in zip(attempts, [*attempts[1:], None], strict=True):
                job = _slurm_id(record)
                seen.add(job)
                if record["state"] == "blocked" and _waits_for(record, keys):
                    continue  # the job's own earlier node has failed, which says why
                if record["state"] in {"failed", "lost", "blocked"}:
                    last = later is None or _slurm_id(later) != job
                    found.append(self._attempt(record, job, ended=last))
        for place in self._places.get(short(keys[-1]), ()):
            element = place.array.element(place.element)
            over = self._answers and short(keys[-1]) not in self._queued
            if over and element not in seen and not self._store.is_done(keys[-1]):
                found.append(self._without_attempt(place, element))
        return sorted(found, key=lambda one: one.began)

    def retried(self, key: str) -> float:
        """Return when somebody last asked for a node with `harness retry`, 0 if never."""
        asked = [
            place.record.created
            for place in self._places.get(short(key), ())
            if place.record.command == "retry"
        ]
        return max(asked, default=0.0)

    def _attempt(self, record: Mapping[str, Any], job: str, *, ended: bool) -> Try:
        made_by = record.get("provenance") or {}
        kind: Kind = "killed"
        reason = one_line(record)
        error_class = record.get("error_class")
        if record["state"] == "blocked":
            kind = "blocked"
        elif error_class and error_class != "interrupted":
            kind = error_class
        elif job and not ended:
            kind = "preempted"  # SLURM requeued it: it was not the job's fault
        else:
            said = self._evidence(job, short(str(record["key"])), started(record))
            kind = said[0] if said else ("interrupted" if error_class else "killed")
            reason = said[1] if said else reason
        slurm = made_by.get("slurm") or {}
        return Try(
            started(record), kind, reason, str(slurm.get("node") or ""),
            record.get("traceback_hash"), code_of(made_by),
        )  # fmt: skip

    def _without_attempt(self, place: Place, element: str) -> Try:
        log = self._submissions.log_of(place)
        said = self._evidence(
            element, place.array.nodes[place.element][-1], place.record.created
        )
        if said is not None:
            return Try(place.record.created, *said)
        if not log.exists():
            return Try(place.record.created, "cancelled", "it never started")
        return Try(place.record.created, "killed", f"it ended at its start: see {log}")

    def _evidence(
        self, element: str, node: str, began: float
    ) -> tuple[Kind, str] | None:
        """Return what SLURM knows of the end of a job, and its words for it."""
        if not element:
            return None
        for place in self._places.get(node, ()):
            if place.array.element(place.element) == element:
                if self._too_often(place):
                    return "timeout", "it reached its time limit too often"
                said = killed_by_slurm(self._submissions.log_of(place))
                if said and (kind := kind_of_words(said)):
                    return kind, said
        if element not in self._said and len(self._said) < _ASKED:
            self._said[element] = of_job(element, began)
        return kind_of_state(self._said.get(element, {}))

    def _too_often(self, place: Place) -> bool:
        folder = self._submissions.folder(place.record) / place.array.name
        return (folder / f"{place.element}.timeouts").exists()


def _waits_for(record: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether an attempt started from one of the nodes `keys`."""
    return not set(keys).isdisjoint((record.get("inputs") or {}).values())


def kind_of_words(said: str) -> Kind | None:
    """Return what a line that SLURM wrote into a job's log means."""
    return next((kind for pattern, kind in _WORDS if pattern.search(said)), None)


def kind_of_state(said: Mapping[str, str]) -> tuple[Kind, str] | None:
    """Return what SLURM's fields of a job (jobinfo.of_job) mean; None if nothing."""
    words = (said.get("JobState") or said.get("State") or "").split()
    if not words:
        return None
    if (kind := _STATES.get(words[0])) is not None:
        return kind, f"SLURM: {words[0]}"
    signal = said.get("ExitCode", "").rpartition(":")[2]
    if words[0] == "FAILED" and signal not in {"", "0"}:
        return "killed", f"SLURM: FAILED, signal {signal}"
    return None


def code_of(made_by: Mapping[str, Any]) -> Code:
    """Return the state of the code that an attempt's provenance tells of."""
    git = made_by.get("git") or {}
    sources = made_by.get("sources") or {}
    named = {
        "harness": made_by.get("harness"), "commit": git.get("commit"),
        "diff": git.get("diff_sha256"),
    }  # fmt: skip
    return Code(
        tuple(sorted((k, str(v)) for k, v in named.items())),
        tuple(sorted((str(k), str(v)) for k, v in sources.items())),
    )


class CodeNow:
    """The code as it is; content: the folders that hold methods/ and tasks/."""

    def __init__(self, content: Sequence[Path]) -> None:
        self._engine = code_of(provenance.code_state()).engine
        self._content = tuple(content)
        self._hashes: dict[str, str] = {}

    def equals(self, code: Code) -> bool:
        """Whether a try would meet the same code again."""
        return code.engine == self._engine and all(
            self._hash(name) == digest for name, digest in code.sources
        )

    def _hash(self, name: str) -> str:
        if name not in self._hashes:
            paths = [root / name for root in self._content if (root / name).is_file()]
            found = provenance.hash_sources(paths[:1])
            self._hashes[name] = str(found.get(name))
        return self._hashes[name]


def _slurm_id(record: Mapping[str, Any]) -> str:
    """Return the SLURM id of the job that made an attempt; '' outside SLURM."""
    slurm = (record.get("provenance") or {}).get("slurm") or {}
    if "array_job" in slurm:
        return f"{slurm['array_job']}_{slurm.get('array_task', '')}"
    return str(slurm.get("job") or "")
