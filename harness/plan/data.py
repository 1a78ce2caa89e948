"""What planning needs to know of data: fingerprints and case ids, never voxels.

Each dataset is listed once, each label subset drawn once. A dataset that is not there
gets a placeholder, so that a plan can be made on a laptop; such a plan cannot be run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..matrix.matrix import Corpus, Matrix, task_of
from ..schema.budget import LabelBudget
from ..schema.cases import CaseRef
from ..schema.errors import DataError
from ..schema.task import TaskSpec
from ..volumes.formats import fingerprint, list_cases, open_dataset
from ..volumes.splits import Split, digest_ids, split, subset
from .corpora import chosen


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
        self.left_out: dict[str, str] = {}  # source that a corpus does without: why
        self._specs = matrix.specs
        self._listings: dict[str, Listing] = {}
        self._splits: dict[tuple[str, int, int], Split | None] = {}
        self._sides: dict[tuple[str, str, int], Ids] = {}
        self._subsets: dict[tuple[str, int, LabelBudget, int], Ids] = {}
        self._corpora: dict[tuple[str, float | None], list[tuple[str, Ids]]] = {}

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

    def _split(self, dataset: str, fold: int, folds: int) -> Split | None:
        key = (dataset, fold, folds)
        if key not in self._splits:
            listing = self.listing(dataset)
            self._splits[key] = (
                None
                if listing.cases is None
                else split(task_of(dataset), listing.spec, listing.cases, fold, folds)
            )
        return self._splits[key]

    def corpus(self, corpus: Corpus) -> list[tuple[str, Ids]]:
        """Return (dataset, images to pretrain on) of each source, by dataset.

        Of a task these are on its training side without cross-validation, so that one
        pretraining serves every fold; test cases are never among them. Raises DataError
        if none is left.
        """
        key = (corpus.name, corpus.fraction)
        if key not in self._corpora:
            self._corpora[key] = self._corpus(corpus)
        return self._corpora[key]

    def _corpus(self, corpus: Corpus) -> list[tuple[str, Ids]]:
        found, absent = [], []
        for source in sorted(corpus.spec.sources, key=corpus.dataset):
            name = corpus.dataset(source)
            refs = self._unlabelled(name)
            if refs is None:
                excluded = corpus.spec.exclude
                absent.append((name, _absent(name, source.cap, *excluded)))
                continue
            ids = chosen(refs, source, corpus.spec)
            if not ids:
                msg = (
                    f"corpus {corpus.name}: no training case of {source.name} is left; "
                    "exclude fewer cases"
                )
                raise DataError(msg)
            found.append((name, _ids(ids)))
        if corpus.spec.allow_missing and found:
            own = {task.name for task in self.matrix.tasks}
            for name in {name for name, _ in absent} - own:
                self.left_out[name] = self.missing.pop(name)
            return found
        return sorted(found + absent)

    def _unlabelled(self, dataset: str) -> Iterable[CaseRef] | None:
        """Return the cases of a dataset that may be pretrained on; None if not there."""
        listing = self.listing(dataset)
        if listing.cases is None or listing.spec.kind == "unlabelled":
            return listing.cases
        sides = self._split(dataset, 0, 1)
        return None if sides is None else sides.train


def _ids(ids: Iterable[str]) -> Ids:
    ordered = tuple(sorted(ids))
    return Ids(ordered, digest_ids(ordered))


def _absent(*parts: object) -> Ids:
    return Ids((), digest_ids(["missing", *sorted(map(str, parts))]))
