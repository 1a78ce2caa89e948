"""Why a job failed, in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..store import Store

CLOCK_S = 2.0  # by how much the clocks of two hosts may differ
_LONGEST = 200  # characters of a reason; the log has the rest
# How SLURM says in a job's own log that it ended it.
_SAID = re.compile(r"^(?:slurmstepd|srun|slurmd)\S*: error: (.*)", re.M)
_CAUSE = re.compile(r"CANCELLED|TIME LIMIT|PREEMPT|NODE FAIL|oom|out of memory", re.I)


class Attempts(Protocol):
    """What knows the attempts at nodes: a store, or what has read them already."""

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Return the records of all attempts at a node, oldest first."""


def last_attempt(known: Attempts, keys: Iterable[str]) -> Mapping[str, Any] | None:
    """Return the last attempt at the first of `keys` that was tried and not published.

    keys: the nodes of a job in their order. The evaluation of a model whose training
    has failed is blocked, which is not the reason. None if all that was tried is
    published.
    """
    for key in keys:
        records = known.attempts(key)
        if records and not any(record["state"] == "done" for record in records):
            return records[-1]
    return None


def reason_of(store: Store, keys: Iterable[str]) -> str | None:
    """Return why the last attempt at `keys` did not publish, or None if it did."""
    record = last_attempt(store, keys)
    return None if record is None else one_line(record)


def one_line(record: Mapping[str, Any], longest: int = _LONGEST) -> str:
    """Return the error class and message of a record as one line.

    longest: characters of the message that are kept.
    """
    if record["state"] == "lost" and not record.get("message"):
        return (
            "its process ended without a word (killed, out of memory or node failure)"
        )
    message = " ".join(str(record.get("message") or "").split())
    if len(message) > longest:
        message = f"{message[: longest - 1]}…"
    error_class = record.get("error_class")
    return f"{error_class}: {message}" if error_class else message or "no reason given"


def started(record: Mapping[str, Any]) -> float:
    """Return when an attempt began, seconds since 1970; 0 if its record is torn."""
    try:
        return datetime.fromisoformat(record["started"]).timestamp()
    except (TypeError, ValueError):
        return 0.0


def killed_by_slurm(log: Path) -> str | None:
    """Return what SLURM wrote into a job's log when it ended the job, or None."""
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, log.stat().st_size - 8192))
            said = _SAID.findall(lines.read().decode(errors="replace"))
    except OSError:
        return None
    causes = [line for line in said if _CAUSE.search(line)]
    best = causes or said  # 'task 0: Killed' says less than why it was killed
    return best[-1].strip("* ") if best else None
