"""Write a table as text for a terminal, Markdown, LaTeX, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Literal, get_args

from ..schema.errors import UserError, nearest
from . import latex
from .sheet import Row, Sheet
from .table import Block, Entry, Table
from .text import cells_of, headers

Format = Literal["term", "md", "tex", "csv", "json"]
Style = Literal["plain", "bold"]


def render(
    table: Table | Sheet,
    fmt: str,
    *,
    width: int = 100,
    style: Style = "plain",
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
    if fmt == "md":
        return _markdown(table)
    if fmt == "tex":
        return latex.render(table)
    return _csv(table) if fmt == "csv" else _json(table)


# -- for a terminal -------------------------------------------------------------------


def _term(table: Table | Sheet, width: int, *, bold: bool) -> str:
    lines = [table.title, ""]
    if isinstance(table, Sheet):
        for heading, rows in table.parts():
            lines += [heading] if heading else []
            lines += [*_sheet_grid(table, rows, bold=bold), ""]
    else:
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


def _sheet_grid(sheet: Sheet, rows: Sequence[Row], *, bold: bool) -> list[str]:
    body = [[column.head for column in sheet.shown], *sheet.texts(rows)]
    sizes = [max(map(len, column)) for column in zip(*body, strict=True)]
    lines = []
    for number, texts in enumerate(body):
        padded = [text.ljust(size) for text, size in zip(texts, sizes, strict=True)]
        marked = number > 0 and rows[number - 1].marked
        line = "  ".join(padded).rstrip() + (" *" if marked else "")
        lines.append(f"\033[1m{line}\033[0m" if bold and marked else line)
    lines.insert(1, "-" * (sum(sizes) + 2 * (len(sizes) - 1)))
    return lines


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
            row += cells_of(table, block.entries.get((method, encoder, budget)))
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


# -- Markdown -------------------------------------------------------------------------


def _markdown(table: Table | Sheet) -> str:
    lines = [f"### {_escape(table.title)}", ""]
    if isinstance(table, Sheet):
        for heading, rows in table.parts():
            lines += [f"**{_escape(heading)}**", ""] if heading else []
            lines += [*_md_sheet(table, rows), ""]
    else:
        for block in table.blocks():
            lines += [f"**{_escape(block.heading)}**", "", *_md_block(table, block), ""]
            lines += [f"- {_escape(note)}" for note in block.notes]
            if block.notes:
                lines.append("")
    lines += [f"- {_escape(note)}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _md_block(table: Table, block: Block) -> list[str]:
    names = headers(table)
    top = ["method", "encoder"]
    top += [f"{budget}: {name}" for budget in block.budgets for name in names]
    lines = [_md_row(top), _md_row(["---"] * len(top))]
    for method, encoder in block.rows:
        row = [_escape(method), _escape(encoder)]
        for budget in block.budgets:
            entry = block.entries.get((method, encoder, budget))
            texts = [_escape(text) for text in cells_of(table, entry, star="")]
            if entry is not None and entry.best:
                texts[0] = f"**{texts[0]}**"
            row += texts
        lines.append(_md_row(row))
    return lines


def _md_sheet(sheet: Sheet, rows: Sequence[Row]) -> list[str]:
    lines = [_md_row([_escape(column.head) for column in sheet.shown])]
    lines.append(_md_row(["---"] * len(sheet.shown)))
    for row, texts in zip(rows, sheet.texts(rows), strict=True):
        cells = [_escape(text) for text in texts]
        if row.marked:
            cells = [f"**{text}**" if text else "" for text in cells]
        lines.append(_md_row(cells))
    return lines


def _md_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\|*_`<"})


def _escape(text: str) -> str:
    return text.translate(_MARKS)


# -- for programs ---------------------------------------------------------------------


def _csv(table: Table | Sheet) -> str:
    """One line per number with unrounded values; nothing where there is none.

    keys: folder names of the evaluations behind it, separated by spaces.
    """
    out = io.StringIO()
    if isinstance(table, Sheet):
        names = [*(column.name for column in table.columns), "marked", "keys"]
        records: Iterable[Mapping[str, object]] = table.records()
    else:
        names = ["metric", "kind", *(field.name for field in fields(Entry)), "missing"]
        records = _records(table)
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in records:
        keys = row["keys"]
        assert isinstance(keys, (list, tuple))
        writer.writerow({**row, "keys": " ".join(keys)})
    return out.getvalue()


def _records(table: Table) -> list[dict[str, object]]:
    of_table = {"metric": table.metric, "kind": table.kind}
    names = [one.name for one in fields(Entry)]  # asdict() would copy every value
    return [
        {**of_table, **{name: getattr(e, name) for name in names}, "missing": e.missing}
        for e in table.entries
    ]


def _json(table: Table | Sheet) -> str:
    document: dict[str, object] = {"title": table.title}
    if isinstance(table, Sheet):
        document |= {
            "name": table.name,
            "columns": {column.name: column.head for column in table.columns},
            "rows": table.records(),
            "notes": list(table.notes),
        }
    else:
        document |= {
            "metric": table.metric,
            "kind": table.kind,
            "level": table.level,
            "entries": _records(table),
            "notes": list(table.notes),
            "block_notes": [
                {"task": task, "protocol": protocol, "part": part, "notes": list(notes)}
                for (task, protocol, part), notes in table.block_notes.items()
            ],
        }
    # One line per number: indenting each of its fields costs ten times as much.
    parts = []
    for name, value in document.items():
        if name in ("rows", "entries"):
            assert isinstance(value, list)
            lines = ",\n  ".join(json.dumps(one, allow_nan=False) for one in value)
            parts.append(f' "{name}": [\n  {lines}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value, allow_nan=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
