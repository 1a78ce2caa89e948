"""The figures and the page of `harness report`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .output import say

if TYPE_CHECKING:
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
) -> list[Path]:
    """Write figures/ and index.html into a report's folder; return the paths.

    plan: None where the report is of a results folder alone.
    """
    from ..plan.changed import changed_sources
    from ..report.figures import NothingToDraw, draw, save
    from ..report.findings import Findings
    from ..report.page import Account, save_page
    from ..report.sheet import Sheet
    from ..report.table import Table

    tables = {stem: one for stem, one in drawn.items() if isinstance(one, Table)}
    sheets = {stem: one for stem, one in drawn.items() if isinstance(one, Sheet)}
    findings = Findings(evidence, tables, store.done(), sheets)
    drawings = list(draw(findings))
    written: list[Path] = []
    for drawing in drawings:
        if not isinstance(drawing, NothingToDraw):
            written += save(drawing, out / "figures")
    account = Account(
        findings=findings,
        drawings=drawings,
        title=(plan.matrix.title if plan is not None else "") or evidence.scope.name,
        benchmark=_text(plan.matrix.path) if plan is not None else "",
        standings=_standings(plan, store) if plan is not None else {},
        changed=changed_sources(plan) if plan is not None else (),
        made=datetime.now().astimezone(),
    )
    page = save_page(account, out)
    say(f"Page: {page}")
    return [*written, page]


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
