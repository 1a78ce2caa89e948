"""Which case is on which side, and which training cases a label budget sees (DESIGN 2).

Every decision is a sha256 of names: no generator, no dependence on order, machine or on
which other cases are present. A partial copy therefore keeps every case on its side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..schema.budget import LabelBudget
from ..schema.cases import CaseRef, Side
from ..schema.errors import DataError
from ..schema.identity import digest
from ..schema.task import TaskSpec
from .sides import hasher, sides_of, validated_by

_FEWER = "ask for fewer under 'label_budgets'"
_SIZES = {"hash": "shares", "counts": "numbers", "lists": "lists"}


@dataclass(frozen=True)
class Split:
    """The three sides, each sorted by case id. No patient is on two sides."""

    train: tuple[CaseRef, ...]
    val: tuple[CaseRef, ...]
    test: tuple[CaseRef, ...]
    # Orders of one subset seed, the last asked for: its budgets share them.
    _orders: dict[Hashable, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of the sides and their case ids."""
        return digest(
            {
                "train": [ref.case_id for ref in self.train],
                "val": [ref.case_id for ref in self.val],
                "test": [ref.case_id for ref in self.test],
            }
        )


def split(
    name: str,
    spec: TaskSpec,
    cases: Sequence[CaseRef],
    fold: int = 0,
    folds: int = 1,
) -> Split:
    """Divide the cases of task `name` into train, val and test.

    folds > 1: cross-validation. The test set stays; what is not test is divided anew by
    patients into `folds` parts, and part `fold` (0-based) validates.
    Raises DataError for an empty side, a patient on two sides, and what `sides_of` does.
    """
    if not 0 <= fold < folds:
        msg = f"fold {fold} does not exist: {folds} folds are numbered from 0"
        raise ValueError(msg)
    given = sides_of(name, spec, cases)
    if folds > 1:
        given = validated_by(name, spec.split, given, fold, folds)
    sides: dict[Side, list[CaseRef]] = {"train": [], "val": [], "test": []}
    side_of_group: dict[str, Side] = {}
    for ref, side in given:
        if side_of_group.setdefault(ref.group_id, side) != side:
            msg = (
                f"task {name!r}: patient {ref.group_id!r} is both in {side} and in "
                f"{side_of_group[ref.group_id]}, which would leak"
            )
            raise DataError(msg)
        sides[side].append(ref)
    for side, refs in sides.items():
        if not refs:
            where = f" of fold {fold} of {folds}" if folds > 1 else ""
            mend = (
                "its publisher's split cannot be used with them"
                if spec.split.kind == "publisher"
                else f"change the {_SIZES[spec.split.kind]} or the seed of its 'split'"
            )
            msg = (
                f"task {name!r}: of its {len(cases)} cases none is in {side}{where}; "
                f"{mend}"
            )
            raise DataError(msg)
    return Split(tuple(sides["train"]), tuple(sides["val"]), tuple(sides["test"]))


def subset(
    name: str,
    spec: TaskSpec,
    split: Split,
    budget: LabelBudget,
    subset_seed: int,
) -> tuple[str, ...]:
    """Return the ids of the training cases that `budget` may see.

    Each class (segmentation: all cases) has one order, by a hash of (task, subset seed,
    patient), in which a patient's cases are neighbours. A budget takes the first cases
    of each class: shots equally many, totals in turn, fractions in proportion. So
    subsets of one kind are nested, each within the 100%. Ids come in drawing order.
    Raises DataError for an empty subset and a budget larger than the data.
    """
    available = len(split.train)
    count = budget.count(available, spec.classes, spec.kind)
    if not available or not count:
        msg = (
            f"task {name!r}: label budget {budget} leaves no training case; ask for "
            "more under 'label_budgets'"
        )
        raise DataError(msg)
    if count > available:
        msg = (
            f"task {name!r}: label budget {budget} asks for {count} training cases, "
            f"but there are {available}; {_FEWER}"
        )
        raise DataError(msg)
    if spec.kind == "classification" and budget.kind == "shot":
        _check_shots(name, spec, budget, _ranked(name, split, subset_seed))
    return _drawn(name, split, subset_seed, proportional=budget.kind == "fraction")[
        :count
    ]


def _drawn(
    name: str,
    split: Split,
    subset_seed: int,
    *,
    proportional: bool,
) -> tuple[str, ...]:
    """Return all case ids in drawing order: classes in proportion, or in turn."""
    ranked = _ranked(name, split, subset_seed)
    if proportional not in split._orders:
        order = []
        for target, refs in ranked.items():
            for rank, ref in enumerate(refs):
                place = (rank + 0.5) / len(refs) if proportional else float(rank)
                order.append((place, target, ref.case_id))
        split._orders[proportional] = tuple(each[2] for each in sorted(order))
    ids: tuple[str, ...] = split._orders[proportional]
    return ids


def _ranked(name: str, split: Split, subset_seed: int) -> dict[int, list[CaseRef]]:
    """Return the cases of each class in the order in which budgets take them."""
    if (name, subset_seed) not in split._orders:
        split._orders.clear()
        split._orders[name, subset_seed] = _rank(name, split.train, subset_seed)
    ranked: dict[int, list[CaseRef]] = split._orders[name, subset_seed]
    return ranked


def _rank(
    name: str, train: tuple[CaseRef, ...], subset_seed: int
) -> dict[int, list[CaseRef]]:
    """Order the cases of each class by hashes of patients."""
    by_class: defaultdict[int, list[CaseRef]] = defaultdict(list)
    for ref in train:
        by_class[-1 if ref.target is None else ref.target].append(ref)
    cases_of = Counter(ref.group_id for ref in train)
    hashed = hasher(name, "subset", subset_seed)

    def place(ref: CaseRef) -> tuple[float, str, float, str]:
        group = hashed(ref.group_id)
        # a hash of the case matters only among the cases of one patient
        alone = cases_of[ref.group_id] == 1
        case = 0.0 if alone else hashed(ref.group_id, ref.case_id)
        return (group, ref.group_id, case, ref.case_id)

    return {target: sorted(by_class[target], key=place) for target in sorted(by_class)}


def _check_shots(
    name: str,
    spec: TaskSpec,
    budget: LabelBudget,
    ranked: dict[int, list[CaseRef]],
) -> None:
    names = spec.target.classes if spec.target else ()
    for target, title in enumerate(names):
        have = len(ranked.get(target, []))
        if have < budget.amount:
            msg = (
                f"task {name!r}: label budget {budget} asks for {int(budget.amount)} "
                f"training cases of class {title!r}, but there are {have}; {_FEWER}"
            )
            raise DataError(msg)


def digest_ids(ids: Iterable[str]) -> str:
    """Return the sha256 (64 hex digits) of a set of case ids, whatever their order."""
    return digest(sorted(ids))
