"""The page: one HTML file that holds everything a report has to say.

It works from a file, without a network: style, script and pictures are inside.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ... import __version__
from ..figures.drawing import NothingToDraw
from . import asked, contrasts, origin, register, represented, scores, sheets
from .account import Account, Standing
from .html import Html, el
from .parts import Links, Section, figures, notes

NAME = "index.html"


def write_page(account: Account) -> str:
    """Return the whole page as text."""
    sections = _sections(account)
    title = account.title or account.findings.scope.name
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=f"medssl-bench {__version__}"),
        # Browsers ask for an icon, from the disk too, and report that there is none.
        el("link", rel="icon", href="data:,"),
        el("title", title),
        el("style", Html(_resource("page.css"))),
    )
    body = el(
        "body",
        el("a", "Skip to the results", class_="skip", href="#main"),
        _masthead(account, title),
        el("div", _contents(sections), _main(account, sections), class_="columns"),
        _foot(account),
        el("script", Html(_resource("page.js"))),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sections(account: Account) -> list[Section]:
    links = Links(account.findings)
    found = [
        asked.asked(account),
        asked.coverage(account, links),
        contrasts.headline(account),
        *scores.means(account, links),
        _pictures(account, "budgets", "What labels buy", "budgets"),
        scores.gaps(account, links),
        contrasts.comparisons(account, links),
        scores.parts(account, links),
        _pictures(account, "distributions", "Case by case", "cases"),
        _pictures(account, "classes", "Which classes are confused", "classes"),
        _pictures(account, "convergence", "How fast it learns", "convergence"),
        _pictures(account, "scaling", "Scores by size", "scaling"),
        *represented.sections(account, links),
        *sheets.sections(account, links),
        _pictures(account, "published", "What papers print", "published"),
        _pictures(account, "images", "What it looks like", "images"),
        register.failures(account),
        origin.origin(account),
        register.register(account, links),
    ]
    return [section for section in found if section is not None]


def _pictures(
    account: Account, anchor: str, title: str, *families: str
) -> Section | None:
    drawings = account.of_family(*families)
    return Section(anchor, title, figures(drawings)) if drawings else None


def _masthead(account: Account, title: str) -> Html:
    counts = account.counts()
    total = sum(counts.values())
    made = f" · {account.made:%d %B %Y, %H:%M}" if account.made is not None else ""
    return el(
        "header",
        el("p", "Benchmark report", class_="kicker"),
        el("h1", title),
        el(
            "p",
            f"{counts['done']:,} of {total:,} cells published{made}",
            class_="dateline",
        ),
        class_="masthead",
    )


def _contents(sections: list[Section]) -> Html:
    items = [
        el("li", el("a", section.title, href=f"#{section.anchor}"))
        for section in sections
    ]
    return el("nav", el("h2", "Contents", class_="vh"), el("ol", *items),
              aria_label="Contents")  # fmt: skip


def _main(account: Account, sections: list[Section]) -> Html:
    parts = [
        el(
            "section",
            el("h2", section.title, id=f"h-{section.anchor}"),
            el("p", section.lead, class_="lead") if section.lead else None,
            section.body,
            id=section.anchor,
            aria_labelledby=f"h-{section.anchor}",
        )
        for section in sections
    ]
    return el("main", _filters(account), *parts, id="main", tabindex="-1")


def _filters(account: Account) -> Html:
    """Return the panel that hides rows and columns; the script shows it."""
    cells, looks = account.findings.scope.cells, account.findings.looks
    groups = {
        "method": {f"{m}|{e}": looks[m, e].label for m, e in looks.pairs},
        "task": {task: task for task in dict.fromkeys(cells.task)},
        "protocol": {name: name for name in dict.fromkeys(cells.protocol)},
        "budget": {name: name for name in dict.fromkeys(cells.label_budget)},
    }
    words = {"budget": "label budget"}
    sets = [
        el(
            "fieldset",
            el("legend", words.get(kind, kind)),
            *(
                el(
                    "label",
                    el("input", type="checkbox", checked=True, name=kind, value=value),
                    " ",
                    text,
                )
                for value, text in values.items()
            ),
        )
        for kind, values in groups.items()
        if len(values) > 1
    ]
    return el(
        "details",
        el("summary", "Show less"),
        el("form", *sets, el("button", "Show all", type="reset")),
        el("output", "", aria_live="polite"),
        id="filters",
        hidden=True,
    )


def _foot(account: Account) -> Html:
    empty = [f"{one}." for one in account.drawings if isinstance(one, NothingToDraw)]
    return el(
        "footer",
        el("p", f"Made by medssl-bench {__version__}. This page is one file: it can be "
           "moved, mailed and printed."),
        notes([f"Not drawn: {sentence}" for sentence in empty]),
    )  # fmt: skip


def save_page(account: Account, folder: Path) -> list[Path]:
    """Write index.html into a folder, and every cell as cells.csv; return the paths.

    Raises UserError where the folder cannot be written.
    """
    from ..files import write_text

    page, listing = folder / NAME, folder / register.LISTING
    cells = account.findings.scope.cells
    states = [
        account.state(key, state)
        for key, state in zip(cells.evaluate_key, cells.state, strict=True)
    ]
    write_text(listing, cells.assign(state=states).to_csv(index=False))
    write_text(page, write_page(account))
    return [page, listing]


__all__ = ["Account", "Standing", "save_page", "write_page"]
