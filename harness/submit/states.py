"""The state of every node and cell, from manifests, attempts, records and one squeue.

Accounting is not needed, and SLURM may be absent. States: done (published), running,
pending (queued, or waiting in a local run that is alive), failed, blocked (a
pretraining that it needs has failed), lost (ended without a word: killed, cancelled,
node failure) and missing (never started).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..schema.identity import short
from ..store.records import user_name
from . import squeue
from .reasons import CLOCK_S, killed_by_slurm, last_attempt, one_line, started
from .records import Place, Submission, Submissions, places
from .squeue import Queued

if TYPE_CHECKING:
    from ..store import Store
    from ..store.index import Done

State = Literal["done", "running", "pending", "failed", "blocked", "lost", "missing"]
STATES: tuple[State, ...] = (
    "done", "running", "pending", "failed", "blocked", "lost", "missing",
)  # fmt: skip
ENDED_BADLY = frozenset({"failed", "blocked", "lost"})
Ask = Callable[[Sequence[Submission]], list[Queued] | None]
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Standing:
    """A state, with a one-line reason and a log where there are any."""

    state: State
    reason: str = ""
    log: str = ""


class Observer:
    """What is known at one moment. Ask it about jobs by name and node keys.

    ask: how SLURM is asked, once, for all jobs; by default without any pause. stages:
    {pretraining: the one whose encoder it starts from}, for those that start from one.
    """

    def __init__(
        self,
        store: Store,
        ask: Ask | None = None,
        stages: Mapping[str, str] | None = None,
    ) -> None:
        self.store = store
        self._stages = dict(stages or {})
        self._submissions = Submissions(store.root)
        self.records = records = self._submissions.all()
        # Before the results are looked at: what ends in between is then done, not lost.
        self.queue = queue = (ask or squeue.ask)(records)
        self.done: Done = store.done()
        self._tried = set(store.nodes())  # planned nodes; spares looking for the others
        self.slurm_answers = queue is not None
        self.uses_slurm = any(record.backend == "slurm" for record in records)
        self._queued = squeue.find_nodes(records, queue or ())
        self._places = places(records)
        self._parents: dict[str, Standing] = {}
        self._records: dict[str, list[dict[str, Any]]] = {}

    def job(self, keys: Sequence[str], needs: str | None = None) -> Standing:
        """Return how the job that publishes the last of the nodes `keys` stands.

        needs: the key of the pretraining that it starts from, if any.
        """
        if keys[-1] in self.done:
            return Standing("done")
        node = short(keys[-1])
        if (entry := self._queued.get(node)) is not None:
            return self._queued_as(node, entry)
        record = self._attempt(keys)
        place = self._places.get(node)
        if record is not None and self._is_current(record, place):
            found = self._ended(node, record)
            if found.state != "blocked" or needs not in self.done:
                return found
        if place is not None and place.record.backend == "local" and place.record.alive:
            return Standing("pending")
        if needs is not None and needs not in self.done:
            parent = self.pretraining(needs)
            if parent.state in ENDED_BADLY:
                why = f"its pretraining {short(needs)} is {parent.state}"
                return Standing("blocked", f"{why}: {parent.reason}", parent.log)
        if place is not None and place.record.backend == "slurm" and place.sent:
            return self._vanished(place)
        if record is not None and record["state"] != "blocked":
            return self._ended(node, record)
        return Standing("missing")

    def pretraining(self, key: str) -> Standing:
        """Return how a pretraining stands; asked once per key."""
        if key not in self._parents:
            self._parents[key] = self.job([key], self._stages.get(key))
        return self._parents[key]

    def entry(self, node: str) -> Queued | None:
        """Return the queue entry of the job of a node (first 16 digits of its key)."""
        return self._queued.get(node)

    def place(self, node: str) -> Place | None:
        """Return where the job of a node stands in the records of submissions."""
        return self._places.get(node)

    def log_of(self, place: Place) -> Path:
        """Return the log of a job; it may not exist (yet)."""
        return self._submissions.log_of(place)

    def _queued_as(self, node: str, entry: Queued) -> Standing:
        if NEVER in entry.reason:
            return Standing("blocked", "SLURM: what it waits for has failed")
        if not entry.running:
            reason = "" if entry.reason in {"None", ""} else f"SLURM: {entry.reason}"
            return Standing("pending", reason)
        log = self._submissions.log_of(self._places[node])
        return Standing("running", log=str(log) if log.exists() else "")

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Return the records of all attempts at a node, oldest first; read once."""
        if short(key) not in self._tried:
            return []
        if key not in self._records:
            self._records[key] = self.store.attempts(key)
        return self._records[key]

    def _attempt(self, keys: Sequence[str]) -> dict[str, Any] | None:
        record = last_attempt(self, keys)
        return None if record is None else dict(record)

    def _is_current(self, record: dict[str, Any], place: Place | None) -> bool:
        """Whether an attempt is of the job that was submitted last.

        The id of its SLURM job tells, whatever clocks say; elsewhere the time must.
        """
        if place is None:
            return True
        slurm = (record.get("provenance") or {}).get("slurm") or {}
        if place.record.backend == "slurm" and place.sent and slurm:
            return place.array.job_id in {slurm.get("array_job"), slurm.get("job")}
        if record["state"] == "running":
            return True
        return started(record) >= place.record.created - CLOCK_S

    def _has_left(self, place: Place | None) -> bool:
        """Whether a job that was queued certainly is not any more."""
        if place is None or place.record.backend != "slurm" or not place.sent:
            return False
        # Of another person's jobs squeue may tell nothing.
        return self.slurm_answers and place.record.user in {"", user_name()}

    def _ended(self, node: str, record: dict[str, Any]) -> Standing:
        state: State = record["state"]
        log = self._log(node, record)
        place = self._places.get(node)
        if state == "running":
            slurm = (record.get("provenance") or {}).get("slurm")
            if not slurm or not self._has_left(place):
                return Standing("running", log=log)
            state = "lost"  # its heart beat a moment ago, and SLURM has ended it
            record = {**record, "state": "lost"}
        killed = None
        if state == "lost" and place is not None:
            killed = killed_by_slurm(self._submissions.log_of(place))
        return Standing(state, killed or one_line(record), log)

    def _vanished(self, place: Place) -> Standing:
        if not self.slurm_answers:
            # Results looked at elsewhere, or a controller that is down: nobody knows.
            return Standing("pending", "SLURM does not answer here; submitted before")
        log = self._submissions.log_of(place)
        reason = killed_by_slurm(log) or "it left SLURM's queue without a result"
        return Standing("lost", reason, str(log) if log.exists() else "")

    def _log(self, node: str, record: dict[str, Any]) -> str:
        folder = self.store.attempt_dir(record)
        candidates: list[Path] = [folder / "log.txt"]
        if (place := self._places.get(node)) is not None:
            candidates.append(self._submissions.log_of(place))
        filled = [path for path in candidates if path.exists() and path.stat().st_size]
        return str(filled[0]) if filled else ""
