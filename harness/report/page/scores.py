"""Tables of numbers: every mean with its interval, drawn and in figures, and its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..table import LOWER_IS_BETTER, NAMES, Block, Entry, Table, show
from ..text import CLOSE, POOR
from .account import Account
from .html import Html, el, join
from .parts import Links, Section, column, method_name, notes, table

_ENTRIES = 1000  # of a table of gaps or parts in the page, which stays below 10 MB


def means(account: Account, links: Links) -> list[Section]:
    """Return a section per metric: a table per task and protocol."""
    sections = []
    for stem, one in account.findings.tables.items():
        if one.kind == "scores" and not one.by_part:
            better = "lower" if one.metric in LOWER_IS_BETTER else "higher"
            lead = f"Means with {one.level:.0%} intervals; {better} is better."
            body = _blocks(account, one, links)
            sections.append(Section(f"table-{stem}", NAMES[one.metric], body, lead))
    return sections


def parts(account: Account, links: Links) -> Section | None:
    """Return the tables of single structures, groups of them, and classes."""
    found = {n: one for n, one in account.findings.tables.items() if one.by_part}
    if not found:
        return None
    body = [_titled(account, stem, one, links) for stem, one in found.items()]
    return Section("parts", "Structure by structure, class by class", join(*body))


def gaps(account: Account, links: Links) -> Section | None:
    """Return the tables of differences between label budgets."""
    found = {n: one for n, one in account.findings.tables.items() if one.kind == "gap"}
    if not found:
        return None
    body = [_titled(account, stem, one, links) for stem, one in found.items()]
    lead = "The larger label budget minus the smaller, paired by case."
    return Section("gaps", "What more labels bring", join(*body), lead)


def _titled(account: Account, stem: str, one: Table, links: Links) -> Html:
    """Return a table below its title; where it is too long, where to find it."""
    if len(one.entries) <= _ENTRIES:
        return join(el("h3", one.title), _blocks(account, one, links))
    link = el("a", f"tables/{stem}.csv", href=f"tables/{stem}.csv")
    size = f"{len(one.entries):,} numbers, too many for a page: "
    return join(el("h3", one.title), el("p", size, link, " holds them."))


def _blocks(account: Account, one: Table, links: Links) -> Html:
    parts = [_block(account, one, block, links) for block in one.blocks()]
    return join(*parts, notes(one.notes))


def _block(account: Account, one: Table, block: Block, links: Links) -> Html:
    looks = account.findings.looks
    first = next(iter(block.entries.values()))
    scale = _Scale(list(block.entries.values()))
    usual = _usual(block)
    rows = []
    for pair in block.rows:
        row = [el("th", method_name(looks, pair), scope="row")]
        for budget in block.budgets:
            entry = block.entries.get((*pair, budget))
            row.append(
                _number(one, entry, budget, scale, links, looks[pair].colour, usual)
            )
        rows.append(el("tr", *row, data_method=f"{pair[0]}|{pair[1]}"))
    head = [column("method", by="text")]
    head += [
        column(budget, by="number", class_="num", data_budget=budget)
        for budget in block.budgets
    ]
    sizes = {_size(e) for e in block.entries.values() if e.mean is not None}
    other = " unless another number stands below" if len(sizes) > 1 else ""
    counts = f" · {usual}{other}" if usual else ""
    caption = join(el("b", block.heading), counts)
    grid = table(caption, head, rows, kind="scores")
    return el(
        "div", grid, notes(block.notes), class_="block", data_task=first.task,
        data_protocol=first.protocol,
    )  # fmt: skip


class _Scale:
    """Places values of a block on 0 to 100 percent of a small strip."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        values = [
            value
            for entry in entries
            for value in (entry.mean, entry.low, entry.high)
            if value is not None
        ]
        self.low = min(values, default=0.0)
        self.width = max(values, default=1.0) - self.low or 1.0

    def at(self, value: float) -> str:
        return f"{100 * (value - self.low) / self.width:.1f}%"


def _number(
    one: Table,
    entry: Entry | None,
    budget: str,
    scale: _Scale,
    links: Links,
    colour: str,
    usual: str,
) -> Html:
    if entry is None:
        return el("td", class_="num", data_budget=budget)
    if entry.mean is None:
        waiting = entry.done < entry.planned
        text = f"{entry.done} of {entry.planned}" if waiting else "undefined"
        word = el("span", text, class_="gone", title=entry.reason or "cells published")
        return el("td", _linked(links, entry, word), class_="num", data_budget=budget)
    signed = one.kind == "gap"
    mean = el(
        "b" if entry.best else "span", show(entry.mean, one.metric, signed=signed),
        _marks(entry), class_="mean",
    )  # fmt: skip
    parts = [_linked(links, entry, mean)]
    if entry.low is not None and entry.high is not None:
        low = show(entry.low, one.metric, signed=signed)
        high = show(entry.high, one.metric, signed=signed)
        parts.append(el("span", f"[{low}, {high}]", class_="ci"))
        parts.append(_strip(entry.mean, entry.low, entry.high, scale, colour))
    counts = _counts(entry, usual)
    return el(
        "td", *parts, el("small", counts, class_="of") if counts else None,
        class_="num best" if entry.best else "num", data_v=f"{entry.mean:.6g}",
        data_budget=budget,
    )  # fmt: skip


def _strip(mean: float, low: float, high: float, scale: _Scale, colour: str) -> Html:
    style = (
        f"--l:{scale.at(low)};--h:{scale.at(high)};--m:{scale.at(mean)};--c:{colour}"
    )
    return el("i", class_="strip", style=style, aria_hidden="true")


def _marks(entry: Entry) -> Html | None:
    """Return the marks that tables as text have too, which notes explain."""
    marks = (POOR if entry.poor else "") + ("*" if entry.best else "")
    marks += CLOSE if entry.close else ""
    return el("sup", marks) if marks else None


def _size(entry: Entry) -> str:
    return f"{entry.cases} cases, {entry.seeds} seed{'' if entry.seeds == 1 else 's'}"


def _usual(block: Block) -> str:
    """Return the numbers of cases and seeds that most entries of a block have."""
    sizes = Counter(_size(e) for e in block.entries.values() if e.mean is not None)
    return sizes.most_common(1)[0][0] if sizes else ""


def _counts(entry: Entry, usual: str) -> str:
    words = [entry.overlap] if entry.overlap else []
    words += [_size(entry)] if _size(entry) != usual else []
    if entry.misses or entry.false_alarms:
        words.append(f"missed {entry.misses}, false {entry.false_alarms}")
    if entry.missing:
        words.append(f"{entry.missing} of {entry.planned} cells missing")
    return " · ".join(words)


def _linked(links: Links, entry: Entry, text: Html) -> Html:
    """Link a number to its cells; a difference links to those of both budgets."""
    place = (entry.method, entry.encoder, entry.task, entry.protocol)
    budgets = entry.budget.split(" - ")
    first = links.to(text, *place, budgets[0])
    if len(budgets) == 1:
        return first
    other = links.to("↔", *place, budgets[1], label=f"the cells at {budgets[1]}")
    return join(first, " ", other)
