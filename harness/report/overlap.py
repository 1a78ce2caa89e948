"""Methods that had seen a task before: marked in every table, some of them unranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..analyse.blocks import Blocks
from ..schema.overlap import SENTENCES, UPPER_BOUND
from .sheet import Column, Row, Sheet
from .table import Table

if TYPE_CHECKING:
    import pandas as pd

# (method, encoder, task): what the column `overlap` of its cells says.
Marks = Mapping[tuple[str, str, str], str]

_COLUMN = Column("overlap", "note")


def marks_of(cells: pd.DataFrame) -> Marks:
    """Return the marks of cells; none where they do not say."""
    if "overlap" not in cells:
        return {}
    marked = cells[cells.overlap.notna()]
    names = zip(marked.method, marked.encoder, marked.task, strict=True)
    return dict(zip(names, map(str, marked.overlap), strict=True))


def ranked(blocks: Blocks, marks: Marks) -> Blocks:
    """Return the blocks without the methods that are an upper bound on one of them."""
    bound: dict[int, list[str]] = {}
    for column, (method, encoder) in enumerate(blocks.methods):
        for task in blocks.tasks:
            if marks.get((method, encoder, task)) == UPPER_BOUND:
                bound.setdefault(column, []).append(task)
    if not bound:
        return blocks
    kept = [column for column in range(len(blocks.methods)) if column not in bound]
    said = tuple(
        f"{blocks.methods[column][0]} is left out: an upper bound on {', '.join(tasks)}"
        for column, tasks in bound.items()
    )
    rows = np.arange(len(blocks.blocks))
    found = blocks.only(rows, np.array(kept, dtype=np.int64))
    return replace(found, left_out=(*blocks.left_out, *said))


def marked(table: Table | Sheet, marks: Marks) -> Table | Sheet:
    """Return a table in which rows say what their method had seen of their task."""
    if not marks:
        return table
    if isinstance(table, Table):
        found = {entry.overlap for entry in table.entries if entry.overlap}
        return replace(table, notes=(*table.notes, *_sentences(found)))
    rows = [(row, _mark(row, marks)) for row in table.rows]
    found = {mark for _, said in rows for mark in said}
    if not found:
        return table
    names = ("method", "other")
    place = max(
        (i for i, each in enumerate(table.columns) if each.name in names), default=0
    )
    return replace(
        table,
        columns=(*table.columns[: place + 1], _COLUMN, *table.columns[place + 1 :]),
        rows=tuple(
            replace(row, values={**row.values, "overlap": "; ".join(said) or None})
            for row, said in rows
        ),
        notes=(*table.notes, *_sentences(found)),
    )


def _mark(row: Row, marks: Marks) -> list[str]:
    """Return the marks of a row's method, and of the one that it is compared with."""
    values = row.values
    task = str(values.get("task"))
    found = [
        marks.get((str(values.get(method)), str(values.get(encoder)), task))
        for method, encoder in (
            ("method", "encoder"),
            ("other", "other_encoder"),
        )
    ]
    return list(dict.fromkeys(mark for mark in found if mark is not None))


def _sentences(found: set[str]) -> list[str]:
    return [SENTENCES[mark] for mark in sorted(found) if mark in SENTENCES]
