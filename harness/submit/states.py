"""The state of every node and cell, from manifests, attempts, records and one squeue.

Accounting is not needed, and SLURM may be absent. States: done (published), running,
pending (queued, or waiting in a local run that is alive), failed, blocked (a
pretraining that it needs has failed), lost (ended without a word: killed, cancelled,
node failure) and missing (never started).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..schema.identity import short
from . import squeue
from .reasons import CLOCK_S, killed_by_slurm, last_attempt, one_line, started
from .records import Place, Submissions, places

if TYPE_CHECKING:
    from ..store import Store

State = Literal["done", "running", "pending", "failed", "blocked", "lost", "missing"]
STATES: tuple[State, ...] = (
    "done", "running", "pending", "failed", "blocked", "lost", "missing",
)  # fmt: skip
ENDED_BADLY = frozenset({"failed", "blocked", "lost"})
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Standing:
    """A state, with a one-line reason and a log where there are any."""

    state: State
    reason: str = ""
    log: str = ""


class Observer:
    """What is known at one moment. Ask it about jobs by name and node keys."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.done: Container[str | None] = store.done()
        self._tried = set(store.nodes())  # planned nodes; spares looking for the others
        self._submissions = Submissions(store.root)
        records = self._submissions.all()
        queue = squeue.ask()
        self.slurm_answers = queue is not None
        self._queued = squeue.find_nodes(records, queue or ())
        self._places = places(records)
        self._parents: dict[str, Standing] = {}

    def job(self, keys: Sequence[str], needs: str | None = None) -> Standing:
        """Return how the job that publishes the last of the nodes `keys` stands.

        needs: the key of the pretraining that it starts from, if any.
        """
        if keys[-1] in self.done:
            return Standing("done")
        node = short(keys[-1])
        if (entry := self._queued.get(node)) is not None:
            if NEVER in entry.reason:
                return Standing("blocked", "SLURM: what it waits for has failed")
            return Standing("running" if entry.running else "pending")
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
            self._parents[key] = self.job([key])
        return self._parents[key]

    def _attempt(self, keys: Sequence[str]) -> dict[str, Any] | None:
        tried = [key for key in keys if short(key) in self._tried]
        record = last_attempt(self.store, tried)
        return None if record is None else dict(record)

    def _is_current(self, record: dict[str, Any], place: Place | None) -> bool:
        """Whether an attempt runs, or began after its job was submitted last."""
        if record["state"] == "running" or place is None:
            return True
        return started(record) >= place.record.created - CLOCK_S

    def _ended(self, node: str, record: dict[str, Any]) -> Standing:
        state: State = record["state"]
        log = self._log(node, record)
        if state == "running":
            return Standing("running", log=log)
        place = self._places.get(node)
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
        folder = (
            self.store.node_dir(record["key"]) / "attempts" / str(record["attempt"])
        )
        candidates: list[Path] = [folder / "log.txt"]
        if (place := self._places.get(node)) is not None:
            candidates.append(self._submissions.log_of(place))
        filled = [path for path in candidates if path.exists() and path.stat().st_size]
        return str(filled[0]) if filled else ""
