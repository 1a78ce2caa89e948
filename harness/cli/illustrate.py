"""The figures and the page of `harness report`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .output import say

if TYPE_CHECKING:
    import pandas as pd

    from ..matrix import Matrix
    from ..plan import Plan
    from ..report.catalogue import Shown
    from ..report.evidence import Evidence
    from ..report.page import Standing
    from ..store import Store


def illustrate(
    evidence: Evidence,
    drawn: Mapping[str, Shown],
    plan: Plan | None,
    store: Store,
    out: Path,
    *,
    formats: Collection[str] = ("png",),
    images: Literal["shown", "left out"] = "left out",
    only: str | None = None,
    asked: Matrix | None = None,
) -> list[Path]:
    """Write figures/ and index.html into a report's folder; return the paths.

    plan: None where the report is of a results folder alone; formats: of figures, which
    lie in the page whatever is asked for; images: those of cases; only: the name of one
    figure, which is written without the page; asked: the benchmark file that says what
    was asked, where the plan does not.
    """
    from ..plan.changed import changed_sources
    from ..report.figures import NothingToDraw, draw, save
    from ..report.findings import Findings
    from ..report.page import Account, save_page
    from ..report.sheet import Sheet
    from ..report.table import Table

    tables = {stem: one for stem, one in drawn.items() if isinstance(one, Table)}
    sheets = {stem: one for stem, one in drawn.items() if isinstance(one, Sheet)}
    findings = Findings(evidence, tables, store.done(), sheets, _literature(plan))
    drawings = list(draw(findings, only, show_images=images == "shown"))
    written: list[Path] = []
    for drawing in drawings:
        if not isinstance(drawing, NothingToDraw):
            written += save(drawing, out / "figures", formats)
    if only is not None:
        return written
    if asked is None and plan is not None:
        asked = plan.matrix
    account = Account(
        findings=findings,
        drawings=drawings,
        title=(asked.title if asked is not None else "") or evidence.scope.name,
        benchmark=_text(asked.path) if asked is not None else "",
        standings=_standings(plan, store) if plan is not None else {},
        changed=changed_sources(plan) if plan is not None else None,
        made=datetime.now().astimezone(),
    )
    page, listing = save_page(account, out)
    say(f"Page: {page}")
    return [*written, page, listing]


def _literature(plan: Plan | None) -> pd.DataFrame | None:
    """Return the printed numbers that lie beside the content, if there are any."""
    from ..report.literature import read_literature

    for root in plan.matrix.content.roots if plan is not None else ():
        if (path := root / "papers" / "published.csv").exists():
            return read_literature(path)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # it was read a moment ago; the page does without
        return ""


def _standings(plan: Plan, store: Store) -> dict[str, Standing]:
    """Return how every cell and pretraining stands, as `harness status` says it."""
    from ..report.page import Standing
    from ..submit.status import status

    found = status(plan.cells, store)
    standings = {}
    for one in (*found.pretrainings, *found.cells):
        parts = (one.method, one.task, one.protocol, one.label_budget)
        name = " ".join(part for part in parts if part)
        kind = "" if one.task else "pretraining of "
        what = f"{kind}{name}, seed {one.seed}"
        standings[one.key] = Standing(what, one.state, one.reason, one.log)
    return standings
