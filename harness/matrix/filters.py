"""Filters: 'method=smit,task!=hippocampus' keeps some cells of a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..registry.explain import unknown
from ..registry.yamlwords import brief
from ..schema.errors import UserError

FIELDS = (
    "method", "encoder", "task", "protocol", "label_budget", "fold", "seed",
    "pretraining_seed", "tier",
)  # fmt: skip
_CONDITION = re.compile(r"^\s*([a-z_]+)\s*(!=|=)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Filter:
    """Conditions, all of which must hold; several '=' on one field are alternatives."""

    keep: tuple[tuple[str, str], ...] = ()
    drop: tuple[tuple[str, str], ...] = ()

    def allows(self, field: str, value: object) -> bool:
        """Tell whether cells with `value` in `field` stay."""
        wanted = [each for name, each in self.keep if name == field]
        unwanted = [each for name, each in self.drop if name == field]
        return (not wanted or str(value) in wanted) and str(value) not in unwanted

    def check(self, field: str, known: Iterable[object]) -> None:
        """Raise UserError for a value of `field` that the matrix does not have."""
        words = {str(each) for each in known}
        for name, value in (*self.keep, *self.drop):
            if name == field and value not in words:
                msg = f"--filter: {unknown(field, value, words)}"
                raise UserError(msg)


def parse_filter(texts: Sequence[str]) -> Filter:
    """Read filters as the command line gives them. Raises UserError.

    >>> parse_filter(["method=smit,task!=hippocampus"]).allows("task", "hippocampus")
    False
    """
    keep: list[tuple[str, str]] = []
    drop: list[tuple[str, str]] = []
    for text in texts:
        for condition in filter(str.strip, _conditions(text)):
            found = _CONDITION.match(condition)
            if not found:
                msg = f"--filter {brief(condition)}: expected field=value, field!=value"
                raise UserError(msg)
            field, sign, value = found.groups()
            if field not in FIELDS:
                msg = f"--filter: {unknown('field', field, FIELDS)}"
                raise UserError(msg)
            (keep if sign == "=" else drop).append((field, value))
    return Filter(tuple(keep), tuple(drop))


def _conditions(text: str) -> list[str]:
    """Split at commas; 'method=a,b' means a or b, and 'method!=a,b' neither of them."""
    conditions: list[str] = []
    for part in text.split(","):
        before = _CONDITION.match(conditions[-1]) if conditions else None
        # 'n=500' is a budget, not a condition
        continues = "=" not in part or re.match(r"^\s*n\s*=\s*\d+\s*$", part)
        if before and part.strip() and continues:
            part = f"{before[1]}{before[2]}{part}"
        conditions.append(part)
    return conditions
