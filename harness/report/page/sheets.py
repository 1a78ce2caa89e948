"""Plain sheets (cost, parameters, claims and the like) and tables of single parts."""

from __future__ import annotations

from collections.abc import Sequence

from ..represent import view_tables
from ..sheet import Column, Row, Sheet
from .account import Account
from .html import Html, el, join
from .parts import Links, Section, column, method_name, notes, several, table

_LISTED = 400  # rows of a sheet; tables/ holds all
# With more than a sheet can say.
_SHOWN_ELSEWHERE = frozenset({"rank", "tests", "comparison"})

# (anchor, title) by the beginning of a sheet's name, in the order of the page.
_TITLES = (
    ("claims", "Claims", ("claims",)),
    ("cost", "What it costs", ("cost", "params")),
    ("sizes", "What size is worth", ("trend", "model-size")),
    ("intervals", "Other intervals", ("intervals",)),
)


def sections(account: Account, links: Links) -> list[Section]:
    """Return a section per kind of sheet; a kind that is not known has one of its own."""
    left = {
        name: sheet
        for name, sheet in account.findings.sheets.items()
        if name.partition("-")[0] not in _SHOWN_ELSEWHERE and name not in view_tables()
    }
    found = []
    for anchor, title, starts in _TITLES:
        mine = [left.pop(n) for n in list(left) if n.startswith(starts)]
        if mine:
            body = join(*(sheet_of(account, sheet, links) for sheet in mine))
            found.append(Section(anchor, title, body))
    if left:
        body = join(*(sheet_of(account, sheet, links) for sheet in left.values()))
        found.append(Section("questions", "Further questions", body))
    return found


def sheet_of(account: Account, sheet: Sheet, links: Links) -> Html:
    """Return a sheet with its heading and notes."""
    parts: list[Html] = []
    left = _LISTED
    for heading, rows in sheet.parts():
        if left > 0:
            parts.append(_part(account, sheet, heading, rows[:left], links))
            left -= len(rows)
    if left < 0:
        link = el("a", f"tables/{sheet.name}.csv", href=f"tables/{sheet.name}.csv")
        size = f"The first {_LISTED} of {len(sheet.rows):,} rows; "
        parts.append(el("p", size, link, " holds all."))
    return join(el("h3", sheet.title), *parts, notes(sheet.notes))


def _part(
    account: Account, sheet: Sheet, heading: str, rows: Sequence[Row], links: Links
) -> Html:
    pairs = {(method, encoder) for method, encoder in account.findings.looks.pairs}
    columns = [
        c
        for c in sheet.shown
        if c.printed and any(c.name in row.values for row in rows)
    ]
    numeric = {
        c.name
        for c in columns
        if any(isinstance(row.values.get(c.name), int | float) for row in rows)
    }
    head = [
        column(c.head, by="number" if c.name in numeric else "text",
               class_="num" if c.name in numeric else None)
        for c in columns
    ]  # fmt: skip
    body = []
    for row in rows:
        pair = (str(row.values.get("method")), str(row.values.get("encoder")))
        cells = [_cell(c, row, numeric) for c in columns]
        cells.append(el("td", _origin(links, row)))
        if pair in pairs and columns[0].name == "method":
            cells[0] = el("th", method_name(account.findings.looks, pair), scope="row")
        body.append(
            el("tr", *cells, class_="best" if row.marked else None,
               data_method="|".join(pair) if pair in pairs else None,
               data_task=row.values.get("task"))
        )  # fmt: skip
    caption = join(el("b", heading) if heading else sheet.title)
    return table(caption, [*head, column("from")], body, kind="scores list")


def _cell(what: Column, row: Row, numeric: set[str]) -> Html:
    value = row.values.get(what.name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    low, high = (row.values.get(name) for name in what.bounds or (what.name,) * 2)
    known = what.bounds is not None and None not in (low, high)
    text = f"[{what.show(low)}, {what.show(high)}]"
    return el(
        "td", what.show(value), el("span", text, class_="ci") if known else None,
        class_="num" if what.name in numeric else None,
        data_v=f"{value:.6g}" if number else None,
    )  # fmt: skip


def _origin(links: Links, row: Row) -> Html | None:
    """Link a row to its cells: to their group where they have one, else to all."""
    if not row.keys:
        return None
    return el(
        "a", several(len(row.keys), "cell"), class_="n",
        href=f"#{links.of_keys(row.keys) or 'cells'}",
    )  # fmt: skip
