"""What planning needs to know of data: fingerprints and case ids, never voxels.

Each dataset is listed once, each label subset drawn once. A dataset that is not there
gets a placeholder, so that a plan can be made on a laptop; such a plan cannot be run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from ..matrix.matrix import Corpus, Matrix
from ..schema.budget import LabelBudget
from ..schema.cases import CaseRef
from ..schema.errors import DataError
from ..schema.task import TaskSpec
from ..volumes.formats import fingerprint, list_cases, open_dataset
from ..volumes.splits import Split, digest_ids, split, subset


@dataclass(frozen=True, slots=True)
class Ids:
    """Case ids in alphabetical order, and their digest."""

    ids: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A dataset as listed: what identifies its voxels, and its cases (or None)."""

    spec: TaskSpec
    fingerprint: str
    cases: tuple[CaseRef, ...] | None


class Data:
    """The datasets of a matrix, listed when first asked for."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.missing: dict[str, str] = {}  # task: why its data cannot be listed
        self._specs = {**matrix.corpus_tasks, **{t.name: t.spec for t in matrix.tasks}}
        self._listings: dict[str, Listing] = {}
        self._splits: dict[tuple[str, int, int], Split | None] = {}
        self._sides: dict[tuple[str, str, int], Ids] = {}
        self._subsets: dict[tuple[str, int, LabelBudget, int], Ids] = {}

    def listing(self, task: str) -> Listing:
        """Return the listing of a task's dataset.

        Raises DataError where data is there and wrong; absent data is noted in
        `missing`.
        """
        if task not in self._listings:
            self._listings[task] = self._list(task, self._specs[task])
        return self._listings[task]

    def _list(self, task: str, spec: TaskSpec) -> Listing:
        generator = self.matrix.content.generator(spec)
        try:
            dataset = open_dataset(task, spec, self.matrix.data_roots, generator)
        except DataError as error:
            self.missing[task] = str(error)
            return Listing(spec, f"missing:{task}", None)
        cases = tuple(list_cases(dataset))
        return Listing(spec, fingerprint(dataset, cases), cases)

    def side(self, task: str, side: str, fold: int) -> Ids:
        """Return the cases of 'val' or 'test' in a fold."""
        key = (task, side, fold)
        if key not in self._sides:
            found = self._split(task, fold, self.matrix.folds)
            if found is None:
                self._sides[key] = _absent(task, side, fold)
            else:
                self._sides[key] = _ids(ref.case_id for ref in getattr(found, side))
        return self._sides[key]

    def subset(
        self, task: str, fold: int, budget: LabelBudget, subset_seed: int
    ) -> Ids:
        """Return the labelled training cases of a budget. DataError if too few."""
        key = (task, fold, budget, subset_seed)
        if key not in self._subsets:
            found = self._split(task, fold, self.matrix.folds)
            if found is None:
                self._subsets[key] = _absent(*map(str, key))
            else:
                spec = self._specs[task]
                self._subsets[key] = _ids(
                    subset(task, spec, found, budget, subset_seed)
                )
        return self._subsets[key]

    def _split(self, task: str, fold: int, folds: int) -> Split | None:
        key = (task, fold, folds)
        if key not in self._splits:
            listing = self.listing(task)
            self._splits[key] = (
                None
                if listing.cases is None
                else split(task, listing.spec, listing.cases, fold, folds)
            )
        return self._splits[key]

    def corpus(self, corpus: Corpus) -> list[tuple[str, Ids]]:
        """Return (task, unlabelled training cases) of each source, by task.

        The training side is the one without cross-validation, so that one pretraining
        serves every fold; test cases are never in it. Raises DataError if none is left.
        """
        found = []
        excluded = set(corpus.spec.exclude)
        for source in sorted(corpus.spec.sources, key=lambda source: source.task):
            sides = self._split(source.task, 0, 1)
            if sides is None:
                found.append((source.task, _absent(source.task, source.cap, *excluded)))
                continue
            ids = [ref.case_id for ref in sides.train if ref.case_id not in excluded]
            if source.cap is not None:
                ids = sorted(ids, key=_hashed)[: source.cap]
            if not ids:
                msg = (
                    f"corpus {corpus.name}: no training case of {source.task} is left; "
                    "exclude fewer cases"
                )
                raise DataError(msg)
            found.append((source.task, _ids(ids)))
        return found


def _hashed(case_id: str) -> bytes:
    """Give a fixed order without meaning: a cap takes no publisher's first cases."""
    return sha256(case_id.encode()).digest()


def _ids(ids: Iterable[str]) -> Ids:
    ordered = tuple(sorted(ids))
    return Ids(ordered, digest_ids(ordered))


def _absent(*parts: object) -> Ids:
    return Ids((), digest_ids(["missing", *sorted(map(str, parts))]))
