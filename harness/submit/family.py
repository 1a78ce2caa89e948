"""Families of jobs, which fail alike: the jobs of one phase, method and task.

An array goes on by itself, so each of its jobs looks at what the others of its
submission have left: once SAME of them ended with the same traceback, the rest of the
family end at once instead of using up GPU time for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..plan import Job
    from ..store import Store

SAME = 3  # equal tracebacks that stop a family
OWN = frozenset({"data", "code"})  # error classes that another try meets again
Family = tuple[str, str, str]  # phase, method, task


def family_of(job: Job) -> Family:
    """Return the family of a job."""
    return (job.kind, job.method, job.task)


def in_words(family: Sequence[str]) -> str:
    """Return a family for people."""
    return " ".join(word for word in family if word)


class Faults:
    """What jobs of one submission have failed by: a file each, named by family and fault.

    folder: of the submission, on the shared file system.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "faults"

    def note(self, family: Sequence[str], job: str, traceback: str) -> None:
        """Note that a job ended with a traceback (its hash)."""
        place = self._place(family)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{traceback}.{job}").touch()

    def stopped(self, family: Sequence[str]) -> int:
        """Return how many jobs of a family failed alike, 0 if too few to stop it."""
        try:
            names = [path.name for path in self._place(family).iterdir()]
        except FileNotFoundError:
            return 0
        alike = Counter(name.partition(".")[0] for name in names)
        most = max(alike.values(), default=0)
        return most if most >= SAME else 0

    def _place(self, family: Sequence[str]) -> Path:
        # Hashed: names of methods may be as long as a file name.
        return self._folder / sha256("\0".join(family).encode()).hexdigest()[:16]


def own_fault(store: Store, keys: Sequence[str]) -> str | None:
    """Return the traceback (its hash) that the last attempt at any node ended with."""
    last: Mapping[str, Any] | None = None
    for key in keys:
        if names := store.attempt_names(key):
            last = store.attempt(key, names[-1], None)
            if last["state"] == "failed":
                break
    if last is None or last.get("error_class") not in OWN:
        return None
    found = last.get("traceback_hash")
    return str(found) if found else None
