"""The register of cells: where every number comes from."""

from __future__ import annotations

from ..table import budget_order
from .account import Account
from .html import Html, el, join
from .parts import GROUP, Links, Section, column, method_name, several, table

LISTING = "cells.csv"  # every cell, beside the page
_ROWS = 5_000  # cells that are listed one by one; the page must stay below 10 MB


def register(account: Account, links: Links) -> Section:
    """Return every cell with its state, key and wall time, grouped as tables group them."""
    cells = account.findings.scope.cells
    each = len(cells) <= _ROWS
    parts = [
        _group(account, links, group, rows, each=each)
        for group, rows in _grouped(account).items()
    ]
    head = [
        column("seed", class_="num"), column("fold", class_="num"), column("state"),
        column("evaluation"), column("pretraining"), column("wall", class_="num"),
    ]  # fmt: skip
    search = el(
        "p",
        el("label", "Find cells ", el("input", type="search", id="find",
           placeholder="method, task, key …", autocomplete="off")),
        el("output", "", id="found", for_="find"),
        class_="find", hidden=True,
    )  # fmt: skip
    whole = el(
        "table",
        el("caption", "Keys name folders under the results folder: nodes/kk/key16"),
        el("thead", el("tr", *head)),
        *parts,
        id="register",
    )
    body = join(
        search,
        el("div", whole, class_="scroll tall", tabindex="0", role="region",
           aria_label="register of cells, scrolls"),
    )  # fmt: skip
    lead = (
        f"{several(len(cells), 'cell')}. A number anywhere on this page links to the "
        "cells that it is computed from."
    )
    if not each:
        lead += f" Above {_ROWS:,} the page lists them by group; {LISTING} holds each."
    return Section("cells", "Every cell", body, lead)


def _grouped(account: Account) -> dict[tuple[str, ...], list[dict[str, object]]]:
    cells, done = account.findings.scope.cells, account.findings.published
    wanted = [*GROUP, "seed", "fold", "state", "evaluate_key", "pretraining_key"]
    found: dict[tuple[str, ...], list[dict[str, object]]] = {}
    for row in cells[wanted].to_dict("records"):
        key = str(row["evaluate_key"])
        row["state"] = account.state(key, str(row["state"]))
        row["wall"] = done[key].run.get("wall_s") if row["state"] == "done" else None
        found.setdefault(tuple(str(row[name]) for name in GROUP), []).append(row)
    order = {task: place for place, task in enumerate(dict.fromkeys(cells.task))}
    return dict(
        sorted(
            found.items(),
            key=lambda at: (order[at[0][2]], at[0][3], budget_order(at[0][4])),
        )
    )


def _group(
    account: Account,
    links: Links,
    group: tuple[str, ...],
    rows: list[dict[str, object]],
    *,
    each: bool,
) -> Html:
    method, encoder, task, protocol, budget = group
    name = method_name(account.findings.looks, (method, encoder))
    words = f" · {task} · {protocol} · {budget}"
    done = sum(row["state"] == "done" for row in rows)
    counted = "" if each else f" · {done} of {len(rows)} published"
    head = el("tr", el("th", name, words, counted, colspan=6, scope="rowgroup"))
    lines = [_row(account, row) for row in rows] if each else [_keys(rows)]
    return el(
        "tbody", head, *lines, id=links.anchor(*group), data_method=f"{method}|{encoder}",
        data_task=task, data_protocol=protocol, data_budget=budget,
    )  # fmt: skip


def _keys(rows: list[dict[str, object]]) -> Html:
    """Return the keys of the published cells of a group in one row."""
    names = [str(row["evaluate_key"])[:16] for row in rows if row["state"] == "done"]
    return el("tr", el("td", el("code", " ".join(names)), colspan=6))


def _row(account: Account, row: dict[str, object]) -> Html:
    key, pretraining = str(row["evaluate_key"]), row["pretraining_key"]
    standing = account.standings.get(key[:16])
    reason = standing.reason if standing is not None else ""
    wall = row["wall"]
    return el(
        "tr",
        el("td", str(row["seed"]), class_="num"),
        el("td", str(row["fold"]), class_="num"),
        el("td", str(row["state"]), class_=f"st {row['state']}", title=reason or None),
        el("td", el("code", key[:16])),
        el("td", el("code", pretraining[:16] if isinstance(pretraining, str) else "")),
        el("td", f"{float(str(wall)):.1f} s" if wall else "", class_="num"),
    )


def failures(account: Account) -> Section | None:
    """Return what went wrong, pretrainings first, each with its reason and log."""
    bad = {"failed", "lost", "blocked"}
    some = [one for one in account.standings.values() if one.state in bad]
    if not some:
        return None
    rank = {"failed": 0, "lost": 1, "blocked": 2}  # what is blocked repeats a reason
    rows = [
        el(
            "tr",
            el("td", one.state, class_=f"st {one.state}"),
            el("th", one.what, scope="row"),
            el("td", one.reason),
            el("td", el("code", one.log) if one.log else ""),
        )
        for one in sorted(some, key=lambda one: rank[one.state])
    ]
    head = [
        column("state", by="text"),
        column("what", by="text"),
        column("why"),
        column("log"),
    ]
    body = table("What did not end with a result", head, rows)
    return Section("failures", "What failed", body, several(len(rows), "failure") + ".")
