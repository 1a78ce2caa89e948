"""Label budgets as a benchmark file writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..registry.yamlfile import Document
from ..schema.budget import LabelBudget
from .model import MAX_LIST


def read_budgets(
    document: Document, loc: tuple[str | int, ...], values: Sequence[Any]
) -> tuple[LabelBudget, ...]:
    """Return the label budgets that are right; what is wrong is noted at `loc`."""
    found: dict[LabelBudget, None] = {}
    if not values:
        document.mistake(loc, "label_budgets: name at least one, such as 100%")
    for index, value in enumerate(values[:MAX_LIST]):
        try:
            budget = LabelBudget.parse(value)
        except ValueError as error:
            document.mistake((*loc, index), f"label_budgets: {_cut(error)}")
            continue
        if budget in found:
            document.mistake((*loc, index), f"label_budgets: {budget} stands twice")
        found[budget] = None
    return tuple(found)


def _cut(error: Exception) -> str:
    """Return the error's sentence, cut where a hostile value makes it endless."""
    text = str(error)
    return text if len(text) <= 200 else f"{text[:60]}... {text[-130:]}"
