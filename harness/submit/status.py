"""How far a benchmark is: counts, reasons of failures, time and GPU-hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..plan.cost import Likeness
from ..schema.errors import Exit
from . import board
from .spending import spending
from .states import ENDED_BADLY, STATES, Ask, Observer, Standing

if TYPE_CHECKING:
    from ..plan import Cell
    from ..plan.cells import Analysis, Pretraining
    from ..store import Store

_ACTIVE = frozenset({"running", "pending"})


@dataclass(frozen=True)
class CellStatus:
    """The state of a cell, a pretraining (without task) or an analysis (with a name)."""

    key: str
    method: str
    task: str
    protocol: str
    label_budget: str
    fold: int
    seed: int
    state: str
    reason: str
    log: str
    analysis: str = ""


@dataclass(frozen=True)
class Status:
    """The state of every cell, pretraining and analysis.

    eta_s: seconds until what runs or waits is done; gpu_h_spent, gpu_h_left: GPU-hours
    of all attempts, and of what is not published; None where unknown. uses_slurm: whether
    anything was submitted there. warnings: {what published nodes warn of: how many}.
    """

    cells: tuple[CellStatus, ...]
    pretrainings: tuple[CellStatus, ...]
    eta_s: float | None
    gpu_h_spent: float
    gpu_h_left: float | None
    slurm_answers: bool
    uses_slurm: bool
    warnings: dict[str, int]
    analyses: tuple[CellStatus, ...] = ()

    @property
    def _all(self) -> tuple[CellStatus, ...]:
        return (*self.cells, *self.pretrainings, *self.analyses)

    def counts(self) -> Counter[str]:
        """Return how many cells are in each state."""
        return Counter(cell.state for cell in self.cells)

    def groups(self) -> dict[tuple[str, str], Counter[str]]:
        """Return the counts of each method and task."""
        return _count(self.cells, lambda cell: (cell.method, cell.task))

    def analysis_groups(self) -> dict[str, Counter[str]]:
        """Return the counts of the analyses of each entry."""
        return _count(self.analyses, lambda one: one.analysis)

    def pretraining_groups(self) -> dict[str, Counter[str]]:
        """Return the counts of the pretrainings of each method."""
        return _count(self.pretrainings, lambda one: one.method)

    @property
    def active(self) -> bool:
        """Whether anything runs or waits to run."""
        return any(row.state in _ACTIVE for row in self._all)

    @property
    def exit(self) -> Exit:
        """0 all done, 1 something failed, 3 something is left to do."""
        states = {one.state for one in self._all}
        if states & ENDED_BADLY:
            return Exit.FAILED
        return Exit.DONE if states <= {"done"} else Exit.INCOMPLETE

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        counts = self.counts()
        groups = [
            {"method": method, "task": task, **{state: n[state] for state in STATES}}
            for (method, task), n in self.groups().items()
        ]
        return {
            "counts": {state: counts[state] for state in STATES},
            "groups": groups,
            "cells": [asdict(cell) for cell in self.cells],
            "pretrainings": [asdict(one) for one in self.pretrainings],
            "analyses": [asdict(one) for one in self.analyses],
            "eta_s": self.eta_s,
            "gpu_h_spent": self.gpu_h_spent,
            "gpu_h_left": self.gpu_h_left,
            "slurm_answers": self.slurm_answers,
            "warnings": self.warnings,
            "exit": int(self.exit),
        }

    def to_text(self) -> str:
        """Return the tables and failures for people."""
        return board.text(self)


def status(
    cells: Iterable[Cell],
    store: Store,
    ask: Ask | None = None,
    pretrainings: Mapping[str, Pretraining] | None = None,
    analyses: Iterable[Analysis] = (),
) -> Status:
    """Return the state of `cells` and of the pretrainings that they start from.

    ask: how SLURM is asked, once for all jobs; by default without any pause;
    pretrainings: those of the plan by key, earlier stages among them; analyses: those of
    the plan.
    """
    known = pretrainings or {}
    observer = Observer(store, ask, stages_of(known))
    rows: list[CellStatus] = []
    parents: dict[str, CellStatus] = {}
    nodes: list[tuple[str, Likeness]] = []
    active: set[str] = set()
    for cell in cells:
        found = observer.job([cell.adapt_key, cell.evaluate_key], cell.pretrain_key)
        rows.append(_row(cell, found))
        mine = list(_nodes(cell))
        nodes += mine
        if found.state in _ACTIVE:
            active.update(key for key, _ in mine)
        need = cell.pretrain_key
        if need is not None and need not in parents and need not in known:
            parents[need] = _parent(need, cell.method, 0, observer)
    for key, each in known.items():
        parents[key] = _parent(key, each.method, each.seed or 0, observer)
    for key, parent in parents.items():
        nodes.append((key, Likeness("pretrain", parent.method)))
        if parent.state in _ACTIVE:
            active.add(key)
    measured: list[CellStatus] = []
    for one in analyses:
        first = one.cells[0]
        like = (first.method, first.task, first.protocol)
        nodes.append((one.key, Likeness("analyse", *like)))
        row = replace(
            _row(first, observer.job([one.key])),
            key=one.key[:16],
            analysis=one.name,
        )
        measured.append(row)
        if row.state in _ACTIVE:
            active.add(one.key)
    sums = spending(observer, nodes, active)
    running = sum(
        one.state == "running" for one in (*rows, *parents.values(), *measured)
    )
    eta = None
    if running and active and sums.active_s is not None:
        eta = sums.active_s / running
    return Status(
        tuple(rows), tuple(parents.values()), eta, sums.spent_gpu_h, sums.left_gpu_h,
        observer.slurm_answers, observer.uses_slurm, _warnings(observer, nodes),
        tuple(measured),
    )  # fmt: skip


def stages_of(pretrainings: Mapping[str, Pretraining]) -> dict[str, str]:
    """Return {pretraining: the earlier one that it starts from}."""
    return {key: one.init for key, one in pretrainings.items() if one.init is not None}


def _nodes(cell: Cell) -> Iterator[tuple[str, Likeness]]:
    like = (cell.method, cell.task, cell.protocol)
    yield cell.adapt_key, Likeness("adapt", *like)
    yield cell.evaluate_key, Likeness("evaluate", *like)


def _row(cell: Cell, found: Standing) -> CellStatus:
    return CellStatus(
        cell.evaluate_key[:16], cell.method, cell.task, cell.protocol, cell.budget,
        cell.fold, cell.seed, found.state, found.reason, found.log,
    )  # fmt: skip


def _parent(key: str, method: str, seed: int, observer: Observer) -> CellStatus:
    found = observer.pretraining(key)
    return CellStatus(
        key[:16], method, "", "", "", 0, seed, found.state, found.reason, found.log
    )


def _warnings(
    observer: Observer, nodes: Sequence[tuple[str, Likeness]]
) -> dict[str, int]:
    """Count what published nodes warn of, such as a representation that collapsed."""
    found: Counter[str] = Counter()
    for key, likeness in dict(nodes).items():
        if key in observer.done:
            for text in observer.done.run(key).get("warnings") or ():
                found[f"{likeness.method}: {text}"] += 1
    return dict(found)


def _count(
    rows: Sequence[CellStatus], by: Callable[[CellStatus], Any]
) -> dict[Any, Counter[str]]:
    counts: dict[Any, Counter[str]] = {}
    for row in rows:
        counts.setdefault(by(row), Counter())[row.state] += 1
    return counts
