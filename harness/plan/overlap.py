"""Patients of a task whose labels a method has seen before it is adapted to the task.

A method that learnt from labels is compared with others on patients that it has not met.
Where it has, that is refused, or, with `allow_overlap: true`, its cells are marked: they
are an upper bound, and no ranking holds them (METHODS 1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..matrix.matrix import Matrix, MethodEntry
from ..schema.errors import DataError
from ..schema.formats import GeneratedFormat
from ..schema.task import TaskSpec
from .data import Data, Listing

UPPER_BOUND = "upper bound"  # in the column `overlap`
_SHOWN = 3


def shared_patients(
    one: Listing, case_ids: Iterable[str], other: Listing
) -> tuple[str, ...]:
    """Return the patients of some cases of a dataset that another listing has as well.

    Ids of patients mean something within a dataset only: nothing is shared by datasets
    that come from different places. A dataset that is not there shares nothing that is
    known.
    """
    if _origin(one.spec) != _origin(other.spec):
        return ()
    wanted = set(case_ids)
    mine = {ref.group_id for ref in one.cases or () if ref.case_id in wanted}
    return tuple(sorted(mine & {ref.group_id for ref in other.cases or ()}))


def _origin(spec: TaskSpec) -> tuple[Any, ...]:
    """Return what tells datasets apart: the folder, or the generator and its seed."""
    found = spec.format
    if isinstance(found, GeneratedFormat):
        return ("generated", found.generator, found.seed)
    folder = getattr(found, "folder", None)
    return (folder,) if folder else (found.model_dump_json(),)


class Overlaps:
    """Which cells of a matrix are adapted to patients seen with their labels."""

    def __init__(self, matrix: Matrix, data: Data) -> None:
        self._matrix = matrix
        self._data = data
        self._found: dict[tuple[str, str], str | None] = {}

    def of(self, method: MethodEntry, task: str) -> str | None:
        """Return what the column `overlap` says of a method's cells on a task."""
        place = (method.name, task)
        if place not in self._found:
            seen = any(self.patients(each, task) for each in _taught(method))
            self._found[place] = UPPER_BOUND if seen else None
        return self._found[place]

    def patients(self, taught: MethodEntry, task: str) -> tuple[str, ...]:
        """Return the patients of a task that a supervised method learnt from."""
        assert taught.corpus is not None
        found: set[str] = set()
        for source, ids in self._data.corpus(taught.corpus):
            shared = shared_patients(
                self._data.listing(source), ids.ids, self._data.listing(task)
            )
            found.update(shared)
        return tuple(sorted(found))

    def refuse(self) -> None:
        """Raise DataError where patients are shared and the entry does not allow it."""
        faults = [
            f"{taught.name} learns from the labels of {taught.corpus.name}, and "
            f"{_listed(shared)} are in {task.name} too: name another source, or set "
            f"'allow_overlap: true', and its scores are marked {UPPER_BOUND!r} and left "
            "out of rankings"
            for method in self._matrix.methods
            for taught in _taught(method)
            if not (taught.allow_overlap or method.allow_overlap) and taught.corpus
            for task in self._matrix.tasks
            if (shared := self.patients(taught, task.name))
        ]
        if faults:
            raise DataError("\n".join(dict.fromkeys(faults)))


def refuse_overlaps(matrix: Matrix) -> None:
    """Refuse as `Overlaps.refuse` does; no data is listed where nothing is taught."""
    if any(True for method in matrix.methods for _ in _taught(method)):
        Overlaps(matrix, Data(matrix)).refuse()


def _taught(method: MethodEntry) -> Iterator[MethodEntry]:
    """Yield the supervised methods that an entry is, starts from, or joins."""
    if method.role == "supervised":
        yield method
    for earlier in (*([method.init] if method.init else []), *method.members):
        yield from _taught(earlier)


def _listed(patients: tuple[str, ...]) -> str:
    some = ", ".join(patients[:_SHOWN])
    more = ", ..." if len(patients) > _SHOWN else ""
    return f"{len(patients)} of its patients ({some}{more})"
