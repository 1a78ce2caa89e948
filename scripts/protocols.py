"""Write docs/results/protocols.md: what the runs of `make protocols` have found so far.

    python scripts/protocols.py --results DIR [--write]

The tables are those of `harness report`, of the seeds of which every cell is published;
before there is such a seed, of all that is there. Without --write they are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks import main

from harness.matrix import load
from harness.plan import Plan, make_plan
from harness.report.catalogue import NotShown, tables
from harness.report.evidence import Evidence
from harness.report.reader import StoreReader
from harness.report.render import render
from harness.report.scope import scope_of_plan
from harness.store import Manifest, Store

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "results" / "protocols.md"
# Benchmark file, and the tables that are shown of it.
SHOWN: Mapping[str, Sequence[str]] = {
    "pneumonia": ("auc", "gain-auc"),
    "retina": ("kappa", "gain-kappa"),
    "hippocampus": ("dice", "hd95"),
    "lung_tumour": ("dice", "gain-dice"),
    "glioma": ("dice", "gain-dice"),
}


@dataclass(frozen=True)
class Run:
    """A benchmark file, what is published of it, and the seeds that are whole."""

    plan: Plan
    store: Store
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, name: str, results: Path) -> Run:
        """Read examples/protocols_NAME.yaml and what a results folder holds of it."""
        path = ROOT / "examples" / f"protocols_{name}.yaml"
        store = Store(results)
        plan = make_plan(load(path), store)
        done = set(plan.done)
        whole = tuple(
            seed
            for seed in plan.matrix.seeds
            if all(cell in done for cell in plan.cells if cell.seed == seed)
        )
        if whole:
            kept = [f"seed={seed}" for seed in whole]
            plan = make_plan(load(path, filters=kept), store)
        return cls(plan, store, whole)

    def state(self) -> str:
        """Return how much is there, and what the shown seeds took."""
        done = self.store.done()
        minutes = {
            "pretraining": self._minutes(done, self.plan.pretrainings),
            "adapting": self._minutes(done, {c.adapt_key for c in self.plan.cells}),
            "testing": self._minutes(done, {c.evaluate_key for c in self.plan.cells}),
        }
        spent = ", ".join(f"{value:.1f} {name}" for name, value in minutes.items())
        listed = ", ".join(map(str, self.seeds))
        which = f"seeds shown: {listed}" if self.seeds else "no seed is whole yet"
        return (
            f"- `{self.plan.matrix.path.name}`: {len(self.plan.done)} of "
            f"{len(self.plan.cells)} cells, {which}; minutes: {spent}"
        )

    @staticmethod
    def _minutes(done: Mapping[str, Manifest], keys: Iterable[str]) -> float:
        return sum(float(done[key].run["wall_s"]) for key in keys if key in done) / 60

    def tables(self, names: Sequence[str]) -> list[str]:
        """Return tables of the report as Markdown, by the names of their files."""
        if not self.plan.done:
            return ["Nothing is published yet."]
        evidence = Evidence(scope_of_plan(self.plan), StoreReader.of(self.store))
        found = dict(tables(evidence))
        lines: list[str] = []
        for name in names:
            table = found.get(name)
            if table is None or isinstance(table, NotShown):
                continue
            lines += [*render(table, "md").rstrip().splitlines(), ""]
        return lines[:-1]


def document(results: Path) -> dict[str, list[str]]:
    """Return the blocks of the document by the name of their marker."""
    runs = {name: Run.of(name, results) for name in SHOWN}
    blocks = {"state": [run.state() for run in runs.values()]}
    return blocks | {name: run.tables(SHOWN[name]) for name, run in runs.items()}


if __name__ == "__main__":
    sys.exit(main(__doc__, DOCUMENT, document))
