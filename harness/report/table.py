"""What a table is before it is rendered: entries, notes and how numbers look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..schema.budget import LabelBudget
from ..schema.task import Metric

Kind = Literal["scores", "gap"]
Rule = Literal["none", "cases", "seeds", "cases and seeds"]
RULES: tuple[Rule, ...] = ("none", "cases", "seeds", "cases and seeds")

NAMES: Mapping[Metric, str] = {
    "dice": "Dice", "hd95": "HD95 (mm)", "auc": "AUC", "kappa": "Cohen's kappa",
}  # fmt: skip
RANGES: Mapping[Metric, tuple[float, float]] = {
    "dice": (0.0, 1.0), "hd95": (0.0, float("inf")),
    "auc": (0.0, 1.0), "kappa": (-1.0, 1.0),
}  # fmt: skip
LOWER_IS_BETTER: frozenset[Metric] = frozenset({"hd95"})
DIGITS: Mapping[Metric, int] = {"dice": 3, "hd95": 2, "auc": 3, "kappa": 3}


@dataclass(frozen=True)
class Entry:
    """One number of a table: a method on a task with a protocol and a label budget.

    mean is None where nothing is published or nothing is defined, with the `reason`;
    low and high are None where there is no interval (rule 'none'). For a gap `budget`
    names both budgets. done of planned cells are published; keys: folder names (16
    digits) of the evaluations that the number is computed from.
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
    reason: str | None = None
    keys: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Cells that are planned and not published."""
        return self.planned - self.done


@dataclass(frozen=True)
class Table:
    """Entries with what has to be said about them.

    notes: sentences under the whole table; block_notes: under the block of a
    (task, protocol); headings: how each task is called, 'synthetic' included.
    """

    metric: Metric
    kind: Kind
    entries: tuple[Entry, ...]
    level: float = 0.95
    notes: tuple[str, ...] = ()
    block_notes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    headings: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The metric's name and what is shown of it."""
        name = NAMES[self.metric]
        if self.kind == "gap":
            return f"{name}: difference between label budgets"
        return f"{name} by method and label budget"

    def blocks(self) -> Iterator[Block]:
        """Yield one block per (task, protocol), in the order of the entries."""
        for task, protocol in dict.fromkeys((e.task, e.protocol) for e in self.entries):
            mine = [e for e in self.entries if (e.task, e.protocol) == (task, protocol)]
            yield Block(
                heading=f"{self.headings.get(task, task)}, {protocol}",
                rows=tuple(dict.fromkeys((e.method, e.encoder) for e in mine)),
                budgets=tuple(dict.fromkeys(e.budget for e in mine)),
                entries={(e.method, e.encoder, e.budget): e for e in mine},
                notes=tuple(self.block_notes.get((task, protocol), ())),
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


def show(value: float, metric: Metric, *, signed: bool = False) -> str:
    """Return a number with the metric's digits; never '-0.000'."""
    digits = DIGITS[metric]
    rounded = round(value, digits) + 0.0
    return f"{rounded:+.{digits}f}" if signed else f"{rounded:.{digits}f}"
