"""How far a benchmark is: counts, failures with their reasons, and the time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .progress import duration
from .states import ENDED_BADLY, STATES, Observer, Standing

if TYPE_CHECKING:
    from ..plan import Cell
    from ..store import Store

_SAMPLE = 200  # published nodes of a kind that a mean duration is taken from
_LISTED = 10  # failures that are printed


@dataclass(frozen=True)
class CellStatus:
    """The state of one cell, or of one pretraining (task and protocol are empty)."""

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


@dataclass(frozen=True)
class Status:
    """The state of every cell and pretraining. eta_s: seconds, None where unknown."""

    cells: tuple[CellStatus, ...]
    pretrainings: tuple[CellStatus, ...]
    eta_s: float | None
    slurm_answers: bool

    def counts(self) -> Counter[str]:
        """Return how many cells are in each state."""
        return Counter(cell.state for cell in self.cells)

    @property
    def active(self) -> bool:
        """Whether anything runs or waits to run."""
        rows = (*self.cells, *self.pretrainings)
        return any(row.state in {"running", "pending"} for row in rows)

    @property
    def exit(self) -> Exit:
        """0 all done, 1 something failed, 3 something is left to do."""
        states = {one.state for one in (*self.cells, *self.pretrainings)}
        if states & ENDED_BADLY:
            return Exit.FAILED
        return Exit.DONE if states <= {"done"} else Exit.INCOMPLETE

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        counts = self.counts()
        groups = [
            {"method": method, "task": task, **{state: n[state] for state in STATES}}
            for (method, task), n in self._groups().items()
        ]
        return {
            "counts": {state: counts[state] for state in STATES},
            "groups": groups,
            "cells": [asdict(cell) for cell in self.cells],
            "pretrainings": [asdict(one) for one in self.pretrainings],
            "eta_s": self.eta_s,
            "slurm_answers": self.slurm_answers,
            "exit": int(self.exit),
        }

    def to_text(self) -> str:
        """Return the tables and failures for people."""
        shown = [state for state in STATES if self.counts()[state] or state == "done"]
        rows = [["method", "task", *shown]]
        for (method, task), n in self._groups().items():
            rows.append([method, task, *(str(n[state] or "") for state in shown)])
        for method, n in _count(self.pretrainings, lambda one: one.method).items():
            missing = [state for state in STATES if n[state] and state not in shown]
            more = [f"{n[state]} {state}" for state in missing]
            cells = [str(n[state] or "") for state in shown]
            rows.append([method, "(pretraining)", *cells, *more])
        counts = self.counts()
        total = f"{counts['done']} of {len(self.cells)} cells done"
        if self.eta_s is not None:
            total += f", about {duration(self.eta_s)} left"
        return "\n".join([*_aligned(rows), "", total, *self._failures()])

    def _groups(self) -> dict[tuple[str, str], Counter[str]]:
        return _count(self.cells, lambda cell: (cell.method, cell.task))

    def _failures(self) -> list[str]:
        every = (*self.pretrainings, *self.cells)
        # Blocked cells repeat the reason of their pretraining: they come last.
        bad = [one for one in every if one.state in {"failed", "lost"}]
        bad += [one for one in every if one.state == "blocked"]
        lines = [""] if bad else []
        for one in bad[:_LISTED]:
            name = " ".join(
                part
                for part in (one.method, one.task, one.protocol, one.label_budget)
                if part
            )
            log = f" (log: {one.log})" if one.log else ""
            lines.append(f"{one.state}: {name} seed {one.seed}: {one.reason}{log}")
        if len(bad) > _LISTED:
            lines.append(f"... and {len(bad) - _LISTED} more (--json lists all)")
        return lines


def status(cells: Iterable[Cell], store: Store) -> Status:
    """Return the state of `cells` and of the pretrainings that they start from."""
    observer = Observer(store)
    rows: list[CellStatus] = []
    parents: dict[str, CellStatus] = {}
    left: dict[str, list[str]] = {"pretrain": [], "cell": []}
    running = 0
    for cell in cells:
        need = cell.pretrain_key
        name = cell.evaluate_key[:16]
        found = observer.job([cell.adapt_key, cell.evaluate_key], need)
        rows.append(_row(cell, name, found))
        running += found.state == "running"
        if found.state in {"running", "pending"}:
            left["cell"].append(cell.evaluate_key)
        if need is not None and need not in parents:
            parent = observer.pretraining(need)
            seed = int(getattr(cell, "pretraining_seed", 0) or 0)
            parents[need] = CellStatus(
                need[:16], cell.method, "", "", "", 0, seed,
                parent.state, parent.reason, parent.log,
            )  # fmt: skip
            running += parent.state == "running"
            if parent.state in {"running", "pending"}:
                left["pretrain"].append(need)
    done_cells: list[tuple[str, ...]] = [
        (cell.adapt_key, cell.evaluate_key)
        for cell, row in zip(cells, rows, strict=False)
        if row.state == "done"
    ]
    done_parents: list[tuple[str, ...]] = [
        (key,) for key, one in parents.items() if one.state == "done"
    ]
    eta = _eta(store, left, {"cell": done_cells, "pretrain": done_parents}, running)
    return Status(tuple(rows), tuple(parents.values()), eta, observer.slurm_answers)


def _row(cell: Cell, name: str, found: Standing) -> CellStatus:
    return CellStatus(
        name, cell.method, cell.task, cell.protocol, cell.budget, cell.fold, cell.seed,
        found.state, found.reason, found.log,
    )  # fmt: skip


def _eta(
    store: Store,
    left: dict[str, list[str]],
    done: dict[str, list[tuple[str, ...]]],
    running: int,
) -> float | None:
    """Return mean durations times what is left, over what runs at once now."""
    if not running or not any(left.values()):
        return None
    total = 0.0
    for kind, keys in left.items():
        if not keys:
            continue
        spans = []
        for group in islice(reversed(done[kind]), _SAMPLE):
            manifests = [store.manifest(key) for key in group]
            spans.append(sum(float(m.run.get("wall_s") or 0) for m in manifests if m))
        if not spans:
            return None
        total += len(keys) * sum(spans) / len(spans)
    return total / running


def _count(rows: Sequence[CellStatus], by: Any) -> dict[Any, Counter[str]]:
    counts: dict[Any, Counter[str]] = {}
    for row in rows:
        counts.setdefault(by(row), Counter())[row.state] += 1
    return counts


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    columns = max(len(row) for row in rows)
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    widths = [max(len(row[i]) for row in full) for i in range(columns)]
    return [
        "  ".join(
            text.ljust(width) if i < 2 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in full
    ]
