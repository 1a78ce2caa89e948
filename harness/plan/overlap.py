"""What a method has seen of a task before it is adapted to it.

Methods are compared on patients that they have not met. Where one was pretrained on test
images of a task, or learnt from labels of the task's patients, that is refused; with
`allow_overlap: true` its cells are marked instead (METHODS 1.2 and 3). Patients are
compared by id within a dataset, images of different datasets by the digests of their
voxels, and what neither can tell is declared under `overlaps` in files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..matrix.matrix import Matrix, MethodEntry, TaskEntry, task_of
from ..registry.yamlfile import read_yaml
from ..schema.cases import CaseRef
from ..schema.errors import DataError
from ..schema.formats import GeneratedFormat
from ..schema.overlap import SEEN, UPPER_BOUND
from ..schema.task import TaskSpec
from ..volumes.cache import contents_of
from .data import Data, Listing

_SHOWN = 3


class Shared(NamedTuple):
    """What a method has seen of a task: patients, cases of equal voxels, or why."""

    patients: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()

    def text(self, place: str, task: str) -> str:
        """Return what is shared as a clause; place: 'NAME' or 'the test side of NAME'."""
        parts = []
        if self.patients:
            parts.append(f"{_listed(self.patients, 'patients')} are in {place} too")
        if self.cases:
            found = _listed(self.cases, "images")
            parts.append(f"{found} are those of {place}, voxel by voxel")
        if self.declared:
            why = "; ".join(self.declared)
            parts.append(f"it is known to share images with {task} ({why})")
        return ", and ".join(parts)


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
    """Return what tells datasets apart: a folder or file, a generator and its seed."""
    found = spec.format
    if isinstance(found, GeneratedFormat):
        return ("generated", found.generator, found.seed)
    return (found.place,)


class Overlaps:
    """Which cells of a matrix are adapted to what their method has seen."""

    def __init__(self, matrix: Matrix, data: Data) -> None:
        self._matrix = matrix
        self._data = data
        self._found: dict[tuple[str, str], str | None] = {}
        self._test_sides: dict[str, Listing] = {}
        # dataset: case id: digests of its channels, of those that are cached
        self._contents: dict[str, Mapping[str, frozenset[str]]] = {}

    def of(self, method: MethodEntry, task: str) -> str | None:
        """Return what the column `overlap` says of a method's cells on a task."""
        place = (method.name, task)
        if place not in self._found:
            seen = [
                each.role for each in _lineage(method) if any(self.seen(each, task))
            ]
            mark = None
            if seen:
                mark = UPPER_BOUND if "supervised" in seen else SEEN
            self._found[place] = mark
        return self._found[place]

    def seen(self, method: MethodEntry, task: str) -> Shared:
        """Return what one trained or imported method has seen of a task.

        Of a supervised one all patients of the task count, whose labels it knows; of
        the others test cases do.
        """
        target = self._data.listing(task)
        if method.corpus is None:
            known = target.spec.overlaps.items()
            said = tuple(each for name, each in known if self._is(method, name))
            return Shared(declared=said)
        if method.role != "supervised":
            target = self._test_side(task)
        patients: set[str] = set()
        equal: set[str] = set()
        declared: dict[str, None] = {}
        for source, ids in self._data.corpus(method.corpus):
            listing = self._data.listing(source)
            patients.update(shared_patients(listing, ids.ids, target))
            equal.update(self._equal(source, ids.ids, task, target.cases or ()))
            why = _declared(source, listing.spec, task, target.spec)
            declared.update({why: None} if why else {})
        return Shared(tuple(sorted(patients)), tuple(sorted(equal)), tuple(declared))

    def _is(self, method: MethodEntry, name: str) -> bool:
        """Whether an imported encoder is the one of a file in methods/, renamed or not."""
        content = self._matrix.content
        if method.name == name or method.weights is None:
            return method.name == name
        if name not in content.names("methods"):
            return False
        path = content.file("methods", name)
        said = read_yaml(path).data.get("weights") if path.suffix == ".yaml" else None
        return said is not None and said == method.weights.url

    def _test_side(self, task: str) -> Listing:
        """Return the listing of a task's test side alone; it is asked for again."""
        if task not in self._test_sides:
            whole = self._data.listing(task)
            test = set(self._data.side(task, "test", 0).ids)
            cases = tuple(ref for ref in whole.cases or () if ref.case_id in test)
            self._test_sides[task] = Listing(whole.spec, whole.fingerprint, cases)
        return self._test_sides[task]

    def _equal(
        self, source: str, ids: Iterable[str], task: str, cases: Iterable[CaseRef]
    ) -> Iterator[str]:
        """Yield the cases of a task that have the voxels of a case of a source."""
        mine, theirs = self._contents.get(source), self._contents.get(task)
        if not mine or not theirs or _is_same(source, task, self._data):
            return
        known = frozenset().union(*(mine.get(case_id, ()) for case_id in ids))
        for ref in cases:
            if not known.isdisjoint(theirs.get(ref.case_id, ())):
                yield ref.case_id

    def compare(self, results: Path) -> None:
        """Compare the voxels of datasets that are cached; refuse as `refuse` does."""
        names = {task.name for task in self._matrix.tasks}
        for method in self._trained():
            assert method.corpus is not None
            names.update(name for name, _ in self._data.corpus(method.corpus))
        for name in names - self._contents.keys():
            mark = self._data.listing(name).fingerprint
            found = contents_of(results / f"cache/data/{mark[:16]}")
            if found is not None:
                self._contents[name] = found
        self._found.clear()
        self.refuse()

    def refuse(self) -> None:
        """Raise DataError where something was seen and no entry allows it."""
        faults = [
            _fault(seen, method, task, shared)
            for method in self._matrix.methods
            for seen in _lineage(method)
            if not _is_allowed(seen, method)
            for task in self._matrix.tasks
            if any(shared := self.seen(seen, task.name))
        ]
        if faults:
            raise DataError("\n".join(dict.fromkeys(faults)))

    def _trained(self) -> Iterator[MethodEntry]:
        for method in self._matrix.methods:
            yield from (each for each in _lineage(method) if each.corpus is not None)


def refuse_overlaps(matrix: Matrix) -> None:
    """Refuse as `Overlaps.refuse` does.

    No data is listed where nothing is taught and no file declares an overlap.
    """
    taught = any(
        each.role == "supervised"
        for method in matrix.methods
        for each in _lineage(method)
    )
    specs = (*matrix.corpus_tasks.values(), *(task.spec for task in matrix.tasks))
    if taught or any(spec.overlaps for spec in specs):
        Overlaps(matrix, Data(matrix)).refuse()


def _fault(
    seen: MethodEntry, method: MethodEntry, task: TaskEntry, shared: Shared
) -> str:
    if seen.role == "supervised":
        assert seen.corpus is not None
        return (
            f"{seen.name} learns from the labels of {seen.corpus.name}, and "
            f"{shared.text(task.name, task.name)}: name another source, or set "
            f"'allow_overlap: true', and its scores are marked {UPPER_BOUND!r} and left "
            "out of rankings"
        )
    clause = shared.text(f"the test side of {task.name}", task.name)
    if seen.corpus is None:
        return (
            f"{seen.name} was pretrained by others, and {clause}: set 'allow_overlap: "
            f"true' for it, and its scores are marked {SEEN!r}"
        )
    return (
        f"{seen.name} is pretrained on {seen.corpus.name}, and {clause}: leave them out "
        f"of the corpus, or set 'allow_overlap: true' for {method.name}, and its scores "
        f"are marked {SEEN!r}"
    )


def _is_allowed(seen: MethodEntry, method: MethodEntry) -> bool:
    corpus = seen.corpus is not None and seen.corpus.spec.allow_overlap
    return seen.allow_overlap or method.allow_overlap or corpus


def _declared(source: str, one: TaskSpec, task: str, other: TaskSpec) -> str | None:
    """Return why two datasets are known to share images, as one of their files says."""
    name = task_of(source)
    if name == task:
        return None
    return other.overlaps.get(name) or one.overlaps.get(task)


def _is_same(source: str, task: str, data: Data) -> bool:
    """Whether ids tell more: both are the same images, divided in the same way."""
    return task_of(source) == task and data.listing(source).cases is not None


def _lineage(method: MethodEntry) -> Iterator[MethodEntry]:
    """Yield the entries with weights of their own that an entry is made of."""
    if method.is_published:
        yield method
    for earlier in (*([method.init] if method.init else []), *method.members):
        yield from _lineage(earlier)


def _listed(names: tuple[str, ...], what: str) -> str:
    some = ", ".join(names[:_SHOWN])
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} of its {what} ({some}{more})"
