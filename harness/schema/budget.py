"""Label budgets: how many labelled training cases a cell may see (DESIGN 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# unlabelled: images of a corpus that belong to no task
TaskKind = Literal["segmentation", "classification", "unlabelled"]

_SHOT = re.compile(r"^\s*(\d+)\s*-?\s*shots?\s*$", re.IGNORECASE)
_TOTAL = re.compile(r"^\s*n\s*=\s*(\d+)\s*$", re.IGNORECASE)
_PERCENT = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$")


@dataclass(frozen=True, slots=True)
class LabelBudget:
    """A share of the training cases, a number per shot rule, or an absolute total.

    kind 'fraction': amount in (0, 1]; 'shot': cases in all for segmentation and per class
    for classification; 'total': an absolute number of cases, drawn class-balanced.
    """

    kind: Literal["fraction", "shot", "total"]
    amount: float

    @classmethod
    def parse(cls, value: object) -> LabelBudget:
        """Read `0.1`, `10%`, `5-shot` or `n=500`; ValueError says what was expected."""
        if isinstance(value, bool):
            amount = None
        elif isinstance(value, (int, float)):
            amount = float(value)
        else:
            text = str(value)
            if found := _SHOT.match(text):
                return cls._counted("shot", int(found[1]), value)
            if found := _TOTAL.match(text):
                return cls._counted("total", int(found[1]), value)
            if found := _PERCENT.match(text):
                amount = float(found[1]) / 100
            else:
                try:
                    amount = float(text)
                except ValueError:
                    amount = None
        if amount is None or not 0 < amount <= 1:
            msg = (
                f"{value!r} is not a label budget: expected a fraction above 0 and up to "
                "1 (0.1 or 10%), shots (5-shot) or a total (n=500)"
            )
            raise ValueError(msg)
        return cls("fraction", amount)

    @classmethod
    def _counted(
        cls, kind: Literal["shot", "total"], amount: int, value: object
    ) -> LabelBudget:
        if amount < 1:
            msg = f"{value!r} is not a label budget: expected at least one case"
            raise ValueError(msg)
        return cls(kind, amount)

    def __str__(self) -> str:
        if self.kind == "shot":
            return f"{int(self.amount)}-shot"
        if self.kind == "total":
            return f"n={int(self.amount)}"
        return f"{self.amount * 100:.10g}%"

    def count(self, available: int, classes: int, task_kind: TaskKind) -> int:
        """Return how many of `available` training cases the budget asks for in all.

        A fraction is rounded to the nearest case and is at least 1. Shots and totals are
        returned as asked, which may exceed `available`: the caller refuses that.
        """
        if self.kind == "fraction":
            return max(1, int(self.amount * available + 0.5)) if available else 0
        if self.kind == "shot" and task_kind == "classification":
            return int(self.amount) * classes
        return int(self.amount)

    @property
    def order(self) -> tuple[int, float]:
        """A sort key: shots, then totals, then fractions, each rising."""
        return ({"shot": 0, "total": 1, "fraction": 2}[self.kind], self.amount)
