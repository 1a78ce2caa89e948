r"""Write a table as LaTeX: one tabular per part of it, needing only booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from .sheet import Row, Sheet
from .table import Block, Table
from .text import cells_of, headers

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{EN DASH}": "--",
    "\N{MINUS SIGN}": r"$-$", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
}  # fmt: skip

_TABLE = str.maketrans(_SPECIAL)


def render(table: Table | Sheet) -> str:
    r"""Return table environments for \input; the document uses booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    if isinstance(table, Sheet):
        parts += [_sheet(table, heading, rows) for heading, rows in table.parts()]
    else:
        parts += [_block(table, block) for block in table.blocks()]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it stands; other letters need its fonts."""
    return text.translate(_TABLE)


def _block(table: Table, block: Block) -> str:
    names = headers(table)
    width = len(names)
    top, rules = ["", ""], []
    for place, budget in enumerate(block.budgets):
        top.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(budget)}}}")
        start = 3 + place * width
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
    columns = ["method", "encoder", *(escape(n) for _ in block.budgets for n in names)]
    body = [" & ".join(top) + r" \\", " ".join(rules), " & ".join(columns) + r" \\"]
    body.append(r"\midrule")
    for method, encoder in block.rows:
        row = [escape(method), escape(encoder)]
        for budget in block.budgets:
            entry = block.entries.get((method, encoder, budget))
            texts = [escape(text) for text in cells_of(table, entry, star="")]
            if entry is not None and entry.best:
                texts[0] = rf"\textbf{{{texts[0]}}}"
            row += texts
        body.append(" & ".join(row) + r" \\")
    return _environment(
        f"{table.title}: {block.heading}",
        (*block.notes, *table.notes),
        "ll" + "l" * width * len(block.budgets),
        body,
    )


def _sheet(sheet: Sheet, heading: str, rows: Sequence[Row]) -> str:
    body = [" & ".join(escape(c.head) for c in sheet.shown) + r" \\", r"\midrule"]
    for row, texts in zip(rows, sheet.texts(rows), strict=True):
        cells = [escape(text) for text in texts]
        if row.marked:
            cells = [rf"\textbf{{{text}}}" if text else "" for text in cells]
        body.append(" & ".join(cells) + r" \\")
    title = f"{sheet.title}: {heading}" if heading else sheet.title
    return _environment(title, sheet.notes, "l" * len(sheet.shown), body)


def _environment(
    title: str, notes: Sequence[str], columns: str, body: Sequence[str]
) -> str:
    """Return a floating table; the list of tables gets the title without the notes."""
    name, said = escape(title), escape(" ".join(notes))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\footnotesize",
            r"\setlength{\tabcolsep}{4pt}",
            rf"\caption[{name}]{{{name}. {said}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )
