"""What analyses of networks measured: their nodes, the rows they wrote, their arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from ..schema.errors import UserError
from .options import NothingYet

if TYPE_CHECKING:
    from ..plan import Plan
    from ..plan.cells import Cell
    from ..store import Store
    from ..store.index import Done
    from .evidence import Evidence
    from .reader import Reader

Found = TypeVar("Found")
Words = ParamSpec("Words")

# Of the cell that an analysis is of, and, with `other_` before it, of the second one of
# an analysis that compares two.
OF_CELL = (
    "method", "encoder", "task", "protocol", "label_budget", "fold", "seed",
    "subset_seed", "pretraining_seed", "evaluate_key",
)  # fmt: skip
# One row per analyse node. kind: module of harness.schema.analyses; analysis: what the
# benchmark file calls it; against: in which label the second cell differs.
ANALYSES = (
    "key", "kind", "analysis", "against", "state", *OF_CELL,
    *(f"other_{name}" for name in OF_CELL),
)  # fmt: skip


class Features:
    """The table `features` of a report's analyses, read when first asked for and kept."""

    def __init__(self, analyses: pd.DataFrame, reader: Reader) -> None:
        """Take analyses (columns ANALYSES) and where their rows come from."""
        self._analyses = analyses
        self._reader = reader
        self._rows: dict[str, pd.DataFrame] = {}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of which an analysis is planned or published."""
        return frozenset(self._analyses.kind)

    def nodes(self, kind: str) -> pd.DataFrame:
        """Return the published analyses of a kind, columns ANALYSES.

        Raises UserError where none is planned, NothingYet where none is published.
        """
        own = self._analyses[self._analyses.kind == kind]
        if not len(own):
            msg = (
                f"there is no analysis {kind} here: list it under analyses: in the "
                "benchmark file"
            )
            raise UserError(msg)
        done = own[own.state == "done"]
        if not len(done):
            msg = (
                f"none of {len(own)} analyses {kind} is published yet: harness status "
                "says what failed or is missing"
            )
            raise NothingYet(msg)
        return done.reset_index(drop=True)

    def rows(self, kind: str) -> pd.DataFrame:
        """Return what analyses of a kind measured, a row per layer and quantity.

        Columns: ANALYSES, then layer, quantity, value (nan where undefined) and n. Raises
        as `nodes`.
        """
        found = self._rows.get(kind)
        if found is None:
            nodes = self.nodes(kind)
            read = self._reader.features(list(nodes.key))
            # Rows come in any order; equal results must make equal reports.
            read = read.sort_values(["cell", "layer", "quantity"], kind="stable")
            own = nodes.iloc[read.cell.to_numpy()].reset_index(drop=True)
            found = self._rows[kind] = own.assign(
                layer=read.layer.to_numpy(dtype=object),
                quantity=read.quantity.to_numpy(dtype=object),
                value=read.value.to_numpy(dtype=np.float64),
                n=read.n.to_numpy(),
            )
        return found

    def arrays(self, key: str, name: str) -> dict[str, np.ndarray]:
        """Return the arrays that an analysis keeps beside its rows, such as `cka.npz`.

        Raises KeyError where it keeps none of that name, and UserError where they are
        damaged.
        """
        return read_arrays(self._reader.file(key, name))


def kept(
    read: Callable[Concatenate[Evidence, Words], Found],
) -> Callable[Concatenate[Evidence, Words], Found]:
    """Keep what a function makes of an evidence, as long as there is the evidence.

    Tables and figures ask for the same numbers; errors are not kept.
    """
    found: WeakKeyDictionary[Evidence, dict[Any, Found]] = WeakKeyDictionary()

    @wraps(read)
    def asked(evidence: Evidence, *words: Words.args, **more: Words.kwargs) -> Found:
        own = found.setdefault(evidence, {})
        key = (words, *more.items())
        if key not in own:
            own[key] = read(evidence, *words, **more)
        return own[key]

    return cast("Callable[Concatenate[Evidence, Words], Found]", asked)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file. Raises UserError where it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        msg = f"{path} cannot be read: run harness verify"
        raise UserError(msg) from error


def analyses_of_plan(plan: Plan) -> pd.DataFrame:
    """Return the analyses of a benchmark file, published or not. Columns ANALYSES."""
    todo = {each.key for each in plan.analyses_todo}
    rows: list[dict[str, Any]] = []
    for each in plan.analyses:
        row = _of_cell(each.cells[0])
        if len(each.cells) > 1:
            row |= {f"other_{k}": v for k, v in _of_cell(each.cells[1]).items()}
        row |= {"key": each.key, "kind": each.base, "analysis": each.name}
        row["state"] = "missing" if each.key in todo else "done"
        rows.append({**row, "against": each.against})
    return pd.DataFrame.from_records(rows, columns=ANALYSES)


def _of_cell(cell: Cell) -> dict[str, Any]:
    row = {n: getattr(cell, n) for n in OF_CELL if n != "label_budget"}
    return {**row, "label_budget": cell.budget}


def analyses_of_store(store: Store, done: Done, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the published analyses of some cells of a results folder.

    cells: of a scope; analyses of other cells are left out. Columns ANALYSES.
    """
    by_adapt = {
        row["adapt_key"]: {name: row[name] for name in OF_CELL}
        for row in cells.to_dict("records")
    }
    rows: list[dict[str, Any]] = []
    for key, manifest in done.of_kind("analyse"):
        identity = _identity(store, key)
        inputs = identity.get("inputs", {})
        looked_at = [by_adapt.get(inputs[role]) for role in sorted(inputs)]
        if not looked_at or None in looked_at:
            continue
        row: dict[str, Any] = {}
        for prefix, cell in zip(("", "other_"), looked_at, strict=False):
            row |= {f"{prefix}{k}": v for k, v in (cell or {}).items()}
        row |= {"key": key, "kind": str(identity["implementation"]).split(".")[-1]}
        row |= {n: manifest.labels.get(n) for n in ("analysis", "against")}
        rows.append({**row, "state": "done"})
    return pd.DataFrame.from_records(_ordered(rows), columns=ANALYSES)


def _identity(store: Store, key: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = store.spec(key)["identity"]
    except UserError:  # published, and its specification is gone
        return {}
    return found


def _ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort as an index does not: equal results make equal reports."""
    names = ("analysis", "method", "task", "protocol", "label_budget", "seed", "key")
    return sorted(rows, key=lambda row: tuple(str(row.get(n)) for n in names))


NO_ANALYSES = pd.DataFrame(columns=ANALYSES)
