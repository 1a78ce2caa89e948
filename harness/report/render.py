"""Write a table as text for a terminal, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Literal, get_args

from ..schema.errors import UserError, nearest
from . import latex
from .table import Block, Entry, Table
from .text import cells_of, headers

Format = Literal["term", "md", "tex", "csv", "json"]


def render(
    table: Table,
    fmt: str,
    *,
    width: int = 100,
    style: Literal["plain", "bold"] = "plain",
) -> str:
    """Return the table in a format, ending with a newline.

    width: columns of the terminal, for 'term'. style 'bold' marks the best with
    terminal escapes besides the star; the caller asks for it only on a terminal.
    Raises UserError for an unknown format.
    """
    formats = get_args(Format)
    if fmt not in formats:
        msg = (
            f"no format {fmt!r}: expected one of {', '.join(formats)}."
            f"{nearest(fmt, formats)}"
        )
        raise UserError(msg)
    if fmt == "term":
        return _term(table, width, bold=style == "bold")
    writer = {"md": _markdown, "tex": latex.render, "csv": _csv, "json": _json}[fmt]
    return writer(table)


def _term(table: Table, width: int, *, bold: bool) -> str:
    lines = [table.title, ""]
    for block in table.blocks():
        lines.append(block.heading)
        for budgets in _fitting(table, block, width):
            lines += [*_grid(table, block, budgets, bold=bold), ""]
        for note in block.notes:
            lines += textwrap.wrap(note, width)
        if block.notes:
            lines.append("")
    for note in table.notes:
        lines += textwrap.wrap(note, width)
    return "\n".join(lines).rstrip() + "\n"


def _fitting(table: Table, block: Block, width: int) -> list[tuple[str, ...]]:
    """Divide the label budgets so that each grid fits the width, one at least."""
    parts: list[tuple[str, ...]] = []
    for budget in block.budgets:
        if parts:
            longer = (*parts[-1], budget)
            if max(map(len, _grid(table, block, longer, bold=False))) <= width:
                parts[-1] = longer
                continue
        parts.append((budget,))
    return parts


def _grid(
    table: Table, block: Block, budgets: Sequence[str], *, bold: bool
) -> list[str]:
    """Lay out one grid: a line of budgets, a line of column names, a line per row."""
    names = headers(table)
    body = [["method", "encoder"]]
    body[0] += [name for _ in budgets for name in names]
    for method, encoder in block.rows:
        row = [method, encoder]
        for budget in budgets:
            entry = block.entries.get((method, encoder, budget))
            row += cells_of(table, entry, star="*")
        body.append(row)
    sizes = [max(map(len, column)) for column in zip(*body, strict=True)]
    top = " " * (sizes[0] + 2 + sizes[1])
    for place, budget in enumerate(budgets):
        start = 2 + place * len(names)
        own = sum(sizes[start : start + len(names)]) + 2 * (len(names) - 1)
        if len(budget) > own:  # the name of a gap may be longer than its columns
            sizes[start + len(names) - 1] += len(budget) - own
            own = len(budget)
        top += "  " + budget.ljust(own)
    lines = [top.rstrip()]
    for number, row in enumerate(body):
        padded = [text.ljust(size) for text, size in zip(row, sizes, strict=True)]
        if bold and number:
            padded = [f"\033[1m{p}\033[0m" if "*" in p else p for p in padded]
        lines.append("  ".join(padded).rstrip())
    lines.insert(2, "-" * (sum(sizes) + 2 * (len(sizes) - 1)))
    return lines


def _markdown(table: Table) -> str:
    lines = [f"### {table.title}", ""]
    names = headers(table)
    for block in table.blocks():
        lines += [f"**{_escape(block.heading)}**", ""]
        top = ["method", "encoder"]
        top += [f"{budget}: {name}" for budget in block.budgets for name in names]
        lines += [_md_row(top), _md_row(["---"] * len(top))]
        for method, encoder in block.rows:
            row = [_escape(method), _escape(encoder)]
            for budget in block.budgets:
                entry = block.entries.get((method, encoder, budget))
                texts = cells_of(table, entry)
                if entry is not None and entry.best:
                    texts[0] = f"**{texts[0]}**"
                row += texts
            lines.append(_md_row(row))
        lines += ["", *(f"- {_escape(note)}" for note in block.notes)]
        if block.notes:
            lines.append("")
    lines += [f"- {_escape(note)}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _md_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _escape(text: str) -> str:
    for mark in "\\|*_`<":
        text = text.replace(mark, "\\" + mark)
    return text


def _csv(table: Table) -> str:
    """One line per entry with unrounded numbers; nothing where there is no number."""
    out = io.StringIO()
    names = ["metric", "kind", *(field.name for field in fields(Entry)), "missing"]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in _records(table):
        writer.writerow({"metric": table.metric, "kind": table.kind, **row})
    return out.getvalue()


def _records(table: Table) -> list[dict[str, object]]:
    return [{**asdict(entry), "missing": entry.missing} for entry in table.entries]


def _json(table: Table) -> str:
    document = {
        "metric": table.metric,
        "kind": table.kind,
        "title": table.title,
        "level": table.level,
        "entries": _records(table),
        "notes": list(table.notes),
        "block_notes": [
            {"task": task, "protocol": protocol, "notes": list(notes)}
            for (task, protocol), notes in table.block_notes.items()
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
