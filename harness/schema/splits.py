"""How a task's cases are divided into training, validation and test (DESIGN 2).

Whatever the rule, the cases of one patient are on one side. Cross-validation
(`folds` of a benchmark file) keeps the test side and divides the rest anew.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .closed import Closed

FoldRule = Annotated[
    Literal["hash", "stratified"],
    Field(
        description="hash: a patient's fold is fixed by its id; stratified: patients of "
        "each class are dealt in turn, which needs the complete dataset"
    ),
]


class _Drawn(Closed):
    """What every rule that hashes patients takes."""

    seed: int = 0
    of: str | None = Field(
        None, description="task whose sides these are: its name is hashed, not the own"
    )


class HashSplit(_Drawn):
    """Sides drawn by a hash of the patient id: a partial copy keeps every side."""

    kind: Literal["hash"] = "hash"
    val: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.25, gt=0, lt=1)
    folds: FoldRule = "hash"

    @model_validator(mode="after")
    def _leaves_training(self) -> HashSplit:
        if self.val + self.test >= 1:
            msg = f"val {self.val} + test {self.test} leave nothing to train on"
            raise ValueError(msg)
        return self


class PublisherSplit(_Drawn):
    """Sides given by the publisher (or the generator) with each case.

    val: the share of training patients that validate where the publisher names none,
    drawn by a hash of the patient id.
    """

    kind: Literal["publisher"]
    val: float | None = Field(None, gt=0, lt=1)
    folds: FoldRule = "hash"


class CountsSplit(_Drawn):
    """So many cases on each side, each class in proportion; needs the complete dataset.

    train: none takes the rest, a number leaves the rest out; test: a number, or
    'publisher' where its cases are named. Where patients have several cases, a side has
    as many cases as whole patients allow, never more than asked.
    """

    kind: Literal["counts"]
    train: int | None = Field(None, ge=1)
    val: int = Field(ge=1)
    test: int | Literal["publisher"]
    folds: FoldRule = "stratified"

    @model_validator(mode="after")
    def _tests_something(self) -> CountsSplit:
        if isinstance(self.test, int) and self.test < 1:
            msg = "test: expected a number from 1 on, or 'publisher'"
            raise ValueError(msg)
        return self


class ListedSplit(_Drawn):
    """Sides as lists of case ids or patient ids.

    file: a YAML or JSON file {train: [..], val: [..], test: [..]} beside the file that
    names it, which is read in place of the lists; others: what becomes of a case that
    no list names.
    """

    kind: Literal["lists"]
    file: str | None = None
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    others: Literal["refuse", "leave_out"] = "refuse"
    folds: FoldRule = "hash"

    @model_validator(mode="after")
    def _once(self) -> ListedSplit:
        named = [*self.train, *self.val, *self.test]
        if self.file is None and not (self.train and self.val and self.test):
            msg = "lists need ids under train, val and test, or a 'file' that has them"
            raise ValueError(msg)
        twice = [each for each, count in Counter(named).items() if count > 1]
        if twice:
            msg = f"{twice[0]!r} stands in the lists twice"
            raise ValueError(msg)
        return self
