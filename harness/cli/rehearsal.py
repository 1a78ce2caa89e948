"""What a rehearsal does: make data, run the covering cells, draw what they give."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..matrix.rehearsal import rehearsed
from ..plan import make_plan
from ..plan.cover import Item, compared, cover, items, items_of
from ..plan.prepare import prepare_data
from ..schema.errors import UserError
from ..store import Store
from ..volumes.forge import forge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ..matrix import Matrix
    from ..matrix.matrix import MethodEntry
    from ..registry.weights import Weights
    from ..report.catalogue import Shown
    from ..report.evidence import Evidence

_CODE = 8  # width of a made-up head
State = Literal["passed", "failed", "empty"]


class Part(NamedTuple):
    """A part of a benchmark and how its rehearsal went.

    state: 'empty' is a figure that these adaptations have nothing to draw for, such as
    the convergence of what is validated once. reason: why it is not 'passed'.
    """

    kind: str
    name: str
    state: State
    reason: str = ""


class Rehearsal:
    """A rehearsal of a matrix in a folder of its own.

    matrix: as load(rehearsal=True) gives it; folder: for the made-up data, results and
    report. What an earlier rehearsal there published, and nothing changed of, is kept.
    items: the parts of the matrix; cells: those that are run to execute them all.
    """

    def __init__(self, matrix: Matrix, folder: Path) -> None:
        self.folder = folder
        data = folder / "data"
        made = {
            name: forge(name, spec, data, folds=matrix.folds)
            for name, spec in matrix.specs.items()
        }
        self.matrix = rehearsed(matrix, data, made, self._weights)
        self.store = Store(folder)
        self.plan = make_plan(self.matrix, self.store)
        self.items = items(self.plan)
        self.cells = cover(self.plan)
        self._jobs: dict[str, str] = {}  # name of the job that publishes a node
        self._reasons: dict[str, str] = {}  # why a job failed or could not begin

    def _weights(self, method: MethodEntry) -> Weights:
        """Make the file of an imported encoder: its kind, small, with random weights.

        Heads that the method keeps by name lie in it, too.
        """
        import torch
        from pydantic import TypeAdapter

        from ..nn.build import build_encoder
        from ..nn.settings import EncoderSettings
        from ..registry.weights import find_weights
        from ..run.checkpoint import encoder_state, save_weights

        settings = TypeAdapter(EncoderSettings).validate_python(dict(method.encoder))
        rng = torch.Generator().manual_seed(0)
        encoder = build_encoder(settings, method.channels or 1, rng)
        path = self.folder / "weights" / f"{method.name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        width = int(encoder.pooled_width)
        heads = {
            f"{prefix}.weight": torch.randn(_CODE, width, generator=rng)
            for prefix in method.settings.get("outputs", {}).values()
        }
        save_weights(path, {**encoder_state(encoder), **heads})
        return find_weights(str(path), None, self.folder, method.name)

    def run(self, *, workers: int | None = None) -> None:
        """Run what is missing of the chosen cells on this machine."""
        from ..submit.local import Local

        plan = self.plan.only(self.cells)
        jobs = plan.jobs()
        self._jobs = {key: job.name for job in jobs for key in job.nodes}
        prepare_data(plan, jobs, self.store.root, workers=os.cpu_count() or 1)
        plan.write_specs(self.store, jobs)
        outcome = Local(self.store, workers=workers).run(jobs)
        for failure in (*outcome.failed, *outcome.blocked):
            self._reasons[failure.name] = failure.reason

    def parts(self) -> list[Part]:
        """Return every part of the benchmark, tables and figures last."""
        done = self.store.done()
        failed: dict[Item, str] = {}
        for cell in self.cells:
            if cell.evaluate_key not in done:
                job = self._jobs.get(cell.evaluate_key, "")
                reason = self._reasons.get(job, "it was not run")
                for item in items_of(self.matrix, cell):
                    failed.setdefault(item, f"{cell.label}: {reason}")
        for each in self.plan.only(self.cells).analyses:
            if each.key not in done:
                reason = self._reasons.get(
                    self._jobs.get(each.key, ""), "it was not run"
                )
                failed.setdefault(
                    Item("analysis", each.name), f"{each.label}: {reason}"
                )
        found = [
            Part(*item, "failed" if item in failed else "passed", failed.get(item, ""))
            for item in self.items
        ]
        return [*found, *self._shown()]

    def _shown(self) -> Iterator[Part]:
        """Draw every table and figure of the cells that can be compared."""
        from ..report.catalogue import NotShown, tables
        from ..report.evidence import Evidence
        from ..report.options import Options
        from ..report.reader import StoreReader
        from ..report.render import render
        from ..report.scope import scope_of_plan

        whole = make_plan(self.matrix, self.store)
        plan = whole.only(compared(whole))
        evidence = Evidence(
            scope_of_plan(plan),
            StoreReader.of(self.store),
            Options.of_style(self.matrix.style),
        )
        drawn: dict[str, Shown] = {}
        try:
            for stem, table in tables(evidence):
                if isinstance(table, NotShown):
                    yield Part("table", stem, "failed", table.reason)
                    continue
                for form in ("md", "tex", "csv", "json"):
                    render(table, form)
                drawn[stem] = table
                yield Part("table", stem, "passed")
        except UserError as error:  # nothing at all can be shown
            yield Part("table", "all", "failed", str(error))
        yield from self._figures(evidence, drawn)

    def _figures(
        self, evidence: Evidence, drawn: Mapping[str, Shown]
    ) -> Iterator[Part]:
        from ..report.figures import NothingToDraw, draw, names
        from ..report.findings import Findings
        from ..report.sheet import Sheet
        from ..report.table import Table

        findings = Findings(
            evidence,
            {stem: one for stem, one in drawn.items() if isinstance(one, Table)},
            self.store.done(),
            {stem: one for stem, one in drawn.items() if isinstance(one, Sheet)},
            None,
        )
        for name in names(findings):
            try:
                for _ in draw(findings, name, show_images=True):
                    yield Part("figure", name, "passed")
            except NothingToDraw as reason:
                yield Part("figure", name, "empty", str(reason))
