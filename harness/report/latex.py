r"""Write a table as LaTeX: one tabular per task and protocol, needing only booktabs."""

from __future__ import annotations

from .table import Block, Table
from .text import cells_of, headers

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip


def render(table: Table) -> str:
    r"""Return table environments for \input; the document uses booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    parts += [_block(table, block) for block in table.blocks()]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(_SPECIAL.get(mark, mark) for mark in text)


def _block(table: Table, block: Block) -> str:
    names = headers(table)
    width = len(names)
    notes = " ".join((*block.notes, *table.notes))
    top, rules = ["", ""], []
    for place, budget in enumerate(block.budgets):
        top.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(budget)}}}")
        start = 3 + place * width
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
    columns = ["method", "encoder", *(escape(n) for _ in block.budgets for n in names)]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}: {escape(block.heading)}. {escape(notes)}}}",
        rf"\begin{{tabular}}{{ll{'l' * width * len(block.budgets)}}}",
        r"\toprule",
        " & ".join(top) + r" \\",
        " ".join(rules),
        " & ".join(columns) + r" \\",
        r"\midrule",
    ]
    for method, encoder in block.rows:
        row = [escape(method), escape(encoder)]
        for budget in block.budgets:
            entry = block.entries.get((method, encoder, budget))
            texts = [escape(text) for text in cells_of(table, entry)]
            if entry is not None and entry.best:
                texts[0] = rf"\textbf{{{texts[0]}}}"
            row += texts
        lines.append(" & ".join(row) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines)
