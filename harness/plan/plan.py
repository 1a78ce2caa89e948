"""A plan: the matrix minus what is already done."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from copy import copy
from functools import cached_property
from typing import Any, Protocol

from ..matrix.matrix import Matrix
from ..schema.errors import DataError
from ..schema.identity import short
from .analyses import analyses
from .build import Keys
from .cells import Cell, Job, Pretraining
from .cost import Cost, Likeness, Past, Row, nodes_of, table
from .data import Data, Listing
from .identities import Parts
from .overlap import Overlaps
from .specs import Specs


class Published(Protocol):
    """What planning asks of a results folder: which nodes are published."""

    def done(self) -> Mapping[str, Any]:
        """Return {key: manifest} of the published nodes."""


class SpecWriter(Protocol):
    """What planning asks of a results folder: to keep the specs of nodes."""

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        """Write a node's spec.json; harmless where it is there already."""


class Plan:
    """Cells with the keys of their nodes, and which of the nodes are missing.

    cells: all cells; done: those whose evaluation is published; todo: the others;
    pretrainings: the distinct ones of all cells, by key; missing_data: task, or method
    whose weights are missing -> why; left_out: source that a corpus does without -> why;
    published: {key: manifest} as of the planning; overlaps: which cells meet patients
    whose labels their method has seen; analyses: what is measured on cells beside their
    scores; analyses_todo: those that are not published;
    unpublished: keys of the pretrainings that a cell still waits for.
    """

    def __init__(self, matrix: Matrix, published: Mapping[str, Any]) -> None:
        self.matrix = matrix
        self.published = published
        self._data = Data(matrix)
        self._parts = Parts(matrix, self._data)
        self.overlaps = Overlaps(matrix, self._data)
        self.overlaps.refuse()
        keys = Keys(matrix, self._parts)
        self.cells: tuple[Cell, ...] = tuple(keys.cells())
        self.pretrainings: dict[str, Pretraining] = {
            each.key: each for each in keys.pretrainings.values()
        }
        self.left_out: Mapping[str, str] = self._data.left_out
        self.analyses = tuple(analyses(matrix, self._parts, self.cells))
        self.missing_data: Mapping[str, str] = {
            **self._data.missing,
            **missing_weights(matrix),
        }
        self._stand()

    def only(self, cells: Iterable[Cell]) -> Plan:
        """Return this plan with some of its cells; listings and specs are shared."""
        part = copy(self)
        for derived in ("_specs", "cost_table", "missing"):
            part.__dict__.pop(derived, None)
        part.cells = tuple(cells)
        kept = {cell.evaluate_key for cell in part.cells}
        part.analyses = tuple(
            each
            for each in self.analyses
            if all(cell.evaluate_key in kept for cell in each.cells)
        )
        part._stand()
        return part

    def _stand(self) -> None:
        """Sort cells, analyses and pretrainings by what is published."""
        published = self.published
        self.done: list[Cell] = []
        self.todo: list[Cell] = []
        self._adapted: set[str] = set()
        for cell in self.cells:
            if cell.evaluate_key in published:
                self.done.append(cell)
            else:
                self.todo.append(cell)
                if _is_whole(published.get(cell.adapt_key)):
                    self._adapted.add(cell.adapt_key)
        self.analyses_todo = [a for a in self.analyses if a.key not in published]
        # Networks that analyses wait for, though their cells are done.
        self._wanted = {
            cell.adapt_key: cell
            for each in self.analyses_todo
            for cell in each.cells
            if cell.evaluate_key in published
            and not _is_whole(published.get(cell.adapt_key))
        }
        self.pretrained = {key for key in self.pretrainings if key in published}
        self.unpublished = {
            key
            for cell in (*self.todo, *self._wanted.values())
            if cell.adapt_key not in self._adapted
            for key in cell.encoders
            if key not in self.pretrained
        }
        for key in list(self.unpublished):  # and the stages that they start from
            stage = self.pretrainings[key].init
            while stage is not None and stage not in self.pretrained:
                self.unpublished.add(stage)
                stage = self.pretrainings[stage].init

    @property
    def naive_pretrainings(self) -> int:
        """How many pretrainings a script would run that treats each cell on its own."""
        trained = {k for k, one in self.pretrainings.items() if one.seed is not None}
        return sum(key in trained for cell in self.cells for key in cell.encoders)

    def jobs(self) -> list[Job]:
        """Return the jobs that publish all missing nodes, pretrainings first.

        Cells with one and the same adaptation are one job. Raises DataError if the data
        of a task is not there.
        """
        if self.missing_data:
            raise DataError(" ".join(self.missing_data.values()))
        return [*self._pretrain_jobs(), *self._cell_jobs(), *self._analyse_jobs()]

    def _pretrain_jobs(self) -> Iterable[Job]:
        for each in self.pretrainings.values():
            if each.key in self.unpublished:
                after = (each.init,) if each.init in self.unpublished else ()
                yield Job(
                    short(each.key), "pretrain", (each.key,), after, each.label, "pretrain",
                    each.method,
                )  # fmt: skip

    def _cell_jobs(self) -> Iterable[Job]:
        grouped: dict[str, list[Cell]] = {}
        for cell in self.todo:
            grouped.setdefault(cell.adapt_key, []).append(cell)
        for adapt_key, cell in self._wanted.items():
            grouped.setdefault(adapt_key, [cell])
        for adapt_key, cells in grouped.items():
            first = cells[0]
            nodes = () if adapt_key in self._adapted else (adapt_key,)
            evaluations = dict.fromkeys(cell.evaluate_key for cell in cells)
            encoders = dict.fromkeys(first.encoders) if nodes else ()
            after = tuple(key for key in encoders if key in self.unpublished)
            yield Job(
                name=short(first.evaluate_key),
                kind="cell",
                nodes=(*nodes, *evaluations),
                after=after,
                label=first.label,
                profile="cell",
                method=first.method,
                task=first.task,
            )

    def _analyse_jobs(self) -> Iterable[Job]:
        waits = {cell.adapt_key for cell in self.todo} - self._adapted | {*self._wanted}
        for each in self.analyses_todo:
            first = each.cells[0]
            after = tuple(key for key in each.inputs.values() if key in waits)
            yield Job(
                short(each.key), "analyse", (each.key,), after, each.label, "cell",
                first.method, first.task,
            )  # fmt: skip

    @cached_property
    def _specs(self) -> Specs:
        return Specs(
            self.matrix,
            self._data,
            self._parts,
            self.cells,
            self.pretrainings,
            self.overlaps,
            self.analyses,
        )

    def spec(self, key: str) -> dict[str, Any]:
        """Return the content of a node's spec.json. KeyError for a foreign key."""
        return self._specs.spec(key)

    def tasks_of(self, key: str) -> tuple[str, ...]:
        """Return the tasks whose data a node reads. KeyError for a foreign key."""
        return self._specs.tasks_of(key)

    def listing(self, task: str) -> Listing:
        """Return a task's dataset as it was listed for this plan."""
        return self._data.listing(task)

    def write_specs(self, store: SpecWriter, jobs: Iterable[Job]) -> None:
        """Write the specs of all nodes of the jobs, and of what they wait for."""
        written: set[str] = set()
        for job in jobs:
            for key in (*job.after, *job.nodes):
                if key not in written:
                    written.add(key)
                    store.write_spec(self.spec(key))

    def notes(self) -> list[str]:
        """Return what the reader of the plan should know, one sentence each."""
        seen: dict[str, Cell] = {}
        notes: dict[str, None] = {}
        for cell in self.cells:
            twin = seen.setdefault(cell.evaluate_key, cell)
            if twin is not cell:
                what = f"{twin.budget} and {cell.budget}"
                notes[
                    f"label budgets {what} of {cell.task} choose the same training "
                    "cases: they share their runs"
                ] = None
        return list(notes)

    def cost(self) -> Cost:
        """Return what the missing nodes will cost together."""
        return sum((row.cost for row in self.cost_table), Cost())

    @cached_property
    def cost_table(self) -> list[Row]:
        """Return what the missing nodes will cost by phase, method and task."""
        past = Past(self.published)
        past.look_at(nodes_of(self.cells, self.pretrainings))
        past.look_around(self.matrix.tier)
        return table(past, self.matrix, self.missing)

    @cached_property
    def missing(self) -> list[tuple[str, Likeness]]:
        """Return (node key, what it is like) of each missing node."""
        found = [
            (key, Likeness("pretrain", self.pretrainings[key].method))
            for key in self.pretrainings
            if key in self.unpublished
        ]
        nodes: dict[str, Likeness] = {}
        for cell in self.todo:
            like = (cell.method, cell.task, cell.protocol)
            if cell.adapt_key not in self._adapted:
                nodes[cell.adapt_key] = Likeness("adapt", *like)
            nodes[cell.evaluate_key] = Likeness("evaluate", *like)
        for each in self.analyses_todo:
            first = each.cells[0]
            like = (first.method, first.task, first.protocol)
            nodes[each.key] = Likeness("analyse", *like)
        return [*found, *nodes.items()]

    def to_json(self) -> dict[str, Any]:
        """Return counts, costs and what is missing as plain JSON."""
        waiting = sum(
            cell.adapt_key not in self._adapted
            and any(key in self.unpublished for key in cell.encoders)
            for cell in self.todo
        )
        return {
            "benchmark": str(self.matrix.path),
            "tier": self.matrix.tier,
            "cells": len(self.cells),
            "done": len(self.done),
            "todo": len(self.todo),
            "waiting": waiting,
            "pretrainings": len(self.pretrainings),
            "pretrainings_done": len(self.pretrained),
            "pretrainings_todo": len(self.unpublished),
            "naive_pretrainings": self.naive_pretrainings,
            "analyses": len(self.analyses),
            "analyses_todo": len(self.analyses_todo),
            "missing_nodes": len(self.missing),
            "missing_data": dict(self.missing_data),
            "notes": self.notes(),
            "cost": self.cost().to_json(),
        }


def missing_weights(matrix: Matrix) -> dict[str, str]:
    """Return why the weights of methods cannot be read, of those that cannot."""
    files = {name: entry.weights for name, entry in matrix.stages.items()}
    return {
        name: file.problem
        for name, file in files.items()
        if file is not None and file.problem is not None
    }


def _is_whole(manifest: Any) -> bool:
    """Say whether a node is published with all its files: weights may not be kept."""
    return manifest is not None and not manifest.removed


def make_plan(matrix: Matrix, store: Published | None = None) -> Plan:
    """Return what is still to do for a matrix, given a results folder (none: all).

    Raises DataError where data is there and wrong, or too small for a label budget.
    """
    # A plan is a million small objects without cycles that live as long as the plan: the
    # collector would walk through them again and again for nothing, a fifth of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return Plan(matrix, store.done() if store is not None else {})
    finally:
        if collecting:
            gc.enable()
