"""What a table is before it is rendered: entries, notes and how numbers look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..schema.budget import LabelBudget

Kind = Literal["scores", "gap"]
# What a table may be of: the metrics of task files, and more that predictions give.
Measure = Literal["dice", "hd95", "auc", "kappa", "f1", "sens", "spec"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
Rule = Literal["none", "cases", "seeds", "cases and seeds"]
RULES: tuple[Rule, ...] = ("none", "cases", "seeds", "cases and seeds")

NAMES: Mapping[Measure, str] = {
    "dice": "Dice", "hd95": "HD95 (mm)", "auc": "AUC", "kappa": "Cohen's kappa",
    "f1": "F1", "sens": "Sensitivity", "spec": "Specificity",
}  # fmt: skip
RANGES: Mapping[Measure, tuple[float, float]] = {
    "dice": (0.0, 1.0), "hd95": (0.0, float("inf")),
    "auc": (0.0, 1.0), "kappa": (-1.0, 1.0),
    "f1": (0.0, 1.0), "sens": (0.0, 1.0), "spec": (0.0, 1.0),
}  # fmt: skip
LOWER_IS_BETTER: frozenset[Measure] = frozenset({"hd95"})
DIGITS: Mapping[Measure, int] = {
    "dice": 3, "hd95": 2, "auc": 3, "kappa": 3, "f1": 3, "sens": 3, "spec": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One number of a table: a method on a task with a protocol and a label budget.

    mean is None where nothing is published or nothing is defined, with the `reason`;
    low and high are None where there is no interval (rule 'none'). For a gap `budget`
    names both budgets. part: the class or structure that it is of, '' for the mean over
    all. close: not separable from the best of its column; poor: the interval covers
    less often than its level says. done of planned cells are published; keys: folder
    names (16 digits) of the evaluations that the number is computed from. overlap: what
    the method had seen of the task before, such as 'upper bound'.
    """

    method: str
    encoder: str
    task: str
    protocol: str
    budget: str
    done: int
    planned: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    rule: Rule = "none"
    cases: int = 0
    patients: int = 0
    seeds: int = 0
    misses: int = 0
    false_alarms: int = 0
    failed: int = 0
    best: bool = False
    close: bool = False
    poor: bool = False
    part: str = ""
    reason: str | None = None
    keys: tuple[str, ...] = ()
    overlap: str | None = None

    @property
    def missing(self) -> int:
        """Cells that are planned and not published."""
        return self.planned - self.done


BlockKey = tuple[str, str, str]


def block_of(entry: Entry) -> BlockKey:
    """Return the task, protocol and part whose block an entry belongs to."""
    return entry.task, entry.protocol, entry.part


@dataclass(frozen=True)
class Table:
    """Entries with what has to be said about them.

    notes: sentences under the whole table; block_notes: under the block of a
    (task, protocol, part); headings: how each task is called, 'synthetic' included.
    """

    metric: Measure
    kind: Kind
    entries: tuple[Entry, ...]
    level: float = 0.95
    notes: tuple[str, ...] = ()
    block_notes: Mapping[BlockKey, tuple[str, ...]] = field(default_factory=dict)
    headings: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The metric's name and what is shown of it."""
        name = NAMES[self.metric]
        if self.kind == "gap":
            return f"{name}: difference between label budgets"
        part = " of each class or structure" if self.entries and self.by_part else ""
        return f"{name}{part} by method and label budget"

    @property
    def by_part(self) -> bool:
        """Whether entries are of single classes or structures."""
        return any(entry.part for entry in self.entries)

    def blocks(self) -> Iterator[Block]:
        """Yield one block per (task, protocol, part), in the order of the entries."""
        grouped: dict[BlockKey, list[Entry]] = {}
        for entry in self.entries:
            grouped.setdefault(block_of(entry), []).append(entry)
        for key, mine in grouped.items():
            task, protocol, part = key
            heading = f"{self.headings.get(task, task)}, {protocol}"
            yield Block(
                heading=f"{heading}, {part}" if part else heading,
                rows=tuple(dict.fromkeys((e.method, e.encoder) for e in mine)),
                budgets=tuple(dict.fromkeys(e.budget for e in mine)),
                entries={(e.method, e.encoder, e.budget): e for e in mine},
                notes=tuple(self.block_notes.get(key, ())),
            )


@dataclass(frozen=True)
class Block:
    """A rectangle of a table: rows of (method, encoder), columns of label budgets."""

    heading: str
    rows: tuple[tuple[str, str], ...]
    budgets: tuple[str, ...]
    entries: Mapping[tuple[str, str, str], Entry]
    notes: tuple[str, ...]


def budget_order(budget: str) -> tuple[int, float]:
    """Return a sort key of a label budget as tables spell it."""
    return LabelBudget.parse(budget).order


def show(value: float, metric: Measure, *, signed: bool = False) -> str:
    """Return a number with the metric's digits; never '-0.000'."""
    digits = DIGITS[metric]
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if signed else f"{rounded:.{digits}f}"
