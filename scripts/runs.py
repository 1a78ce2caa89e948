"""A benchmark file and what a results folder holds of it: what pages of results show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.matrix import load
from harness.plan import Plan, make_plan
from harness.report.catalogue import TABLES, NotShown, tables
from harness.report.evidence import Evidence
from harness.report.reader import StoreReader
from harness.report.render import render
from harness.report.scope import scope_of_plan
from harness.schema.errors import UserError
from harness.store import Manifest, Store

ROOT = Path(__file__).parent.parent
NOTHING = "Nothing is published yet."


@dataclass(frozen=True)
class Run:
    """A benchmark file, what is published of it, and the seeds that are whole.

    plan: of these seeds; before there is one, of all that is there.
    """

    plan: Plan
    store: Store
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, results: Path, filters: Sequence[str] = ()) -> Run:
        """Read a benchmark file, or a part of it, and what a results folder holds.

        A seed is whole where all of its cells and analyses are published.
        """
        store = Store(results)
        plan = make_plan(load(path, filters=filters), store)
        done = set(plan.done)
        todo = {cell.seed for cell in plan.cells if cell not in done}
        for analysis in plan.analyses_todo:
            seeds = {cell.seed for cell in analysis.cells}
            todo |= seeds if len(seeds) == 1 else set()
        whole = tuple(seed for seed in plan.matrix.seeds if seed not in todo)
        if whole:
            kept = [*filters, *(f"seed={seed}" for seed in whole)]
            plan = make_plan(load(path, filters=kept), store)
        return cls(plan, store, whole)

    @cached_property
    def evidence(self) -> Evidence:
        """Return what is published, for tables of a report."""
        return Evidence(scope_of_plan(self.plan), StoreReader.of(self.store))

    def state(self) -> str:
        """Return how much is there, and what the shown seeds took."""
        plan = self.plan
        minutes = {
            "pretraining": self._minutes(plan.pretrainings),
            "adapting": self._minutes({c.adapt_key for c in plan.cells}),
            "testing": self._minutes({c.evaluate_key for c in plan.cells}),
        }
        counts = f"{len(plan.done)} of {len(plan.cells)} cells"
        if plan.analyses:
            minutes["looking"] = self._minutes(each.key for each in plan.analyses)
            there = len(plan.analyses) - len(plan.analyses_todo)
            counts += f", {there} of {len(plan.analyses)} analyses"
        spent = ", ".join(f"{value:.1f} {name}" for name, value in minutes.items())
        listed = ", ".join(map(str, self.seeds))
        which = f"seeds shown: {listed}" if self.seeds else "no seed is whole yet"
        return f"- `{plan.matrix.path.name}`: {counts}, {which}; minutes: {spent}"

    def _minutes(self, keys: Iterable[str]) -> float:
        done: Mapping[str, Manifest] = self.store.done()
        return sum(float(done[key].run["wall_s"]) for key in keys if key in done) / 60

    def tables(self, names: Sequence[str]) -> list[str]:
        """Return tables of the report as Markdown, by the names of their files.

        Of a table that cannot be shown yet the reason is said.
        """
        lines: list[str] = []
        for name in names if self.plan.done else ():
            kind = name if name in TABLES else name.rpartition("-")[0]
            try:
                table = dict(tables(self.evidence, kind)).get(name)
            except UserError as error:
                table = NotShown(name, str(error))
            if isinstance(table, NotShown):
                lines += [f"Not shown yet, table `{name}`: {table.reason}.", ""]
            elif table is not None:
                lines += [*render(table, "md").rstrip().splitlines(), ""]
        return lines[:-1] or [NOTHING]
