"""What sections are made of: method names, links to cells, figures, lists of notes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...schema.identity import short
from ..figures import inline_svg
from ..figures.drawing import Drawing
from ..figures.style import Looks
from ..findings import Findings
from .html import Html, el, join


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading. lead: a sentence below the heading."""

    anchor: str
    title: str
    body: Html
    lead: str = ""


class Links:
    """Where the cells of a number are listed: one anchor per group of cells."""

    def __init__(self, findings: Findings) -> None:
        """Give every group of cells a number, in their order."""
        cells = findings.scope.cells
        columns = [cells[name] for name in GROUP]
        self._numbers: Mapping[tuple[str, ...], int] = {
            group: number
            for number, group in enumerate(dict.fromkeys(zip(*columns, strict=True)))
        }

        self._of_key = {
            short(str(key)): group
            for key, group in zip(
                cells.evaluate_key, zip(*columns, strict=True), strict=True
            )
        }

    def of_keys(self, keys: Sequence[str]) -> str | None:
        """Return the anchor of the group of evaluations (16 digits); None of several."""
        groups = {self._of_key.get(key) for key in keys}
        group = groups.pop() if len(groups) == 1 else None
        return None if group is None else self.anchor(*group)

    def anchor(self, *group: str) -> str:
        """Return the anchor of (method, encoder, task, protocol, label budget)."""
        return f"g{self._numbers[group]}"

    def to(self, text: Html | str, *group: str, label: str = "") -> Html:
        """Return a link to the cells of a group; its text alone where there are none."""
        if group not in self._numbers:
            return el("span", text)
        return el(
            "a", text, class_="n", href=f"#{self.anchor(*group)}",
            aria_label=label or None,
        )  # fmt: skip


_EMBEDDED = 30_000  # bytes of data that lie in the page; more lies in figures/
GROUP = ("method", "encoder", "task", "protocol", "label_budget")


def method_name(looks: Looks, pair: tuple[str, str]) -> Html:
    """Return a method's name with its marker, in its colour."""
    look = looks[pair]
    mark = el(
        "span",
        look.glyph,
        class_="mk",
        style=f"color:{look.colour}",
        aria_hidden="true",
    )
    return join(mark, " ", look.label)


def figure(drawing: Drawing) -> Html:
    """Return a drawing with its caption and a link to the data behind it."""
    data = drawing.data.to_csv(index=False, lineterminator="\n").encode()
    link = el(
        "a", "Data (CSV)", download=f"{drawing.name}.csv",
        href=f"data:text/csv;base64,{b64encode(data).decode()}",
    ) if len(data) < _EMBEDDED else el(
        "a", "Data (CSV)", href=f"figures/{drawing.name}.csv"
    )  # fmt: skip
    words = el("figcaption", el("b", f"{drawing.title}. "), drawing.caption, " ", link)
    picture = el("div", Html(inline_svg(drawing)), class_="scroll", tabindex="0",
                 role="group", aria_label=drawing.title)  # fmt: skip
    return el(
        "figure", picture, words, id=f"figure-{drawing.name}",
        data_task=drawing.task or None,
    )  # fmt: skip


def figures(drawings: Iterable[Drawing]) -> Html:
    """Return drawings one below the other."""
    return join(*map(figure, drawings))


def notes(sentences: Sequence[str]) -> Html | None:
    """Return sentences as a list in small print, None without any."""
    if not sentences:
        return None
    return el("ul", *(el("li", sentence) for sentence in sentences), class_="notes")


def table(
    caption: Html | str,
    head: Sequence[Html],
    rows: Sequence[Html],
    *,
    kind: str = "",
    **attributes: object,
) -> Html:
    """Return a table that scrolls sideways where it is wider than its column."""
    inner = el(
        "table",
        el("caption", caption),
        el("thead", el("tr", *head)),
        el("tbody", *rows),
        class_=kind or None,
        **attributes,
    )
    return el("div", inner, class_="scroll", tabindex="0", role="region",
              aria_label="table, scrolls sideways")  # fmt: skip


def column(text: Html | str, *, by: str = "", **attributes: object) -> Html:
    """Return a column's heading. by: 'number' or 'text' makes it sortable."""
    if not by:
        return el("th", text, scope="col", **attributes)
    button = el("button", text, type="button", class_="sort")
    return el("th", button, scope="col", data_sort=by, **attributes)


def several(count: int, noun: str) -> str:
    """Return '1 cell' or '2 cells'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
