"""The runs table: one row for each attempt at a node, failed ones included."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..schema.errors import UserError
from ..schema.identity import short
from .snapshot import Snapshot
from .snapshot import load as load_snapshot
from .spent import gpu_hours, wall_s
from .store import Store
from .tables import RUNS, build, read_tables

_LABELS = frozenset(
    {"method", "encoder", "task", "protocol", "label_budget", "fold", "folds", "seed"}
    | {
        "subset_seed",
        "pretraining_seed",
        "pretraining_key",
        "tier",
        "corpus",
        "overlap",
    }
    | {"n_train", "analysis", "against"}
)
_PLAIN = ("key", "attempt", "kind", "state", "error_class", "message", "host", "pid")
_MEASURED = ("device", "peak_gpu_mem", "trainable_params", "n_train")
_ENDED = frozenset({"done", "failed", "duplicate", "blocked"})  # and never change again


def runs_table(store: Store, keys: Iterable[str] | None = None) -> pa.Table:
    """Return one row for each attempt at `keys`, by default at every node.

    Rows of attempts that had ended when the store was collected come from there.
    """
    names = store.nodes() if keys is None else (short(key) for key in keys)
    collected = _Collected.of(load_snapshot(store.root))
    done = store.done()
    rows: list[dict[str, Any]] = []
    for name in names:
        winner = done.attempt(name)
        for attempt in store.attempt_names(name):
            if not collected.take(name, attempt, won=attempt == winner):
                rows.append(_row(store, store.attempt(name, attempt, winner)))
    columns = {field: [row.get(field) for row in rows] for field in RUNS.names}
    return collected.with_rows(build("runs", columns))


class _Collected:
    """Rows of a snapshot that are still true, taken one by one."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        names = (key[:16] for key in table["key"].to_pylist())
        places = zip(names, table["attempt"].to_pylist(), strict=True)
        self._places = {place: row for row, place in enumerate(places)}
        self._states = table["state"].to_pylist()
        self._taken: list[int] = []

    @classmethod
    def of(cls, snapshot: Snapshot | None) -> _Collected:
        """Return the rows of `snapshot`; none if there is none or it is damaged."""
        empty = RUNS.empty_table()
        if snapshot is None or "runs.parquet" not in snapshot.files:
            return cls(empty)
        try:
            return cls(read_tables("runs", [snapshot.folder / "runs.parquet"]))
        except UserError:
            return cls(empty)

    def take(self, name: str, attempt: str, *, won: bool) -> bool:
        """Take the row of an attempt if it holds; say whether it does."""
        row = self._places.get((name, attempt))
        if row is None:
            return False
        state = self._states[row]
        if state not in _ENDED or (state == "done") != won:
            return False
        self._taken.append(row)
        return True

    def with_rows(self, more: pa.Table) -> pa.Table:
        """Return the rows that were taken and those of `more`."""
        if not self._taken:
            return more
        parts = [self._table.take(pa.array(self._taken, pa.int64())), more]
        plain = [part.replace_schema_metadata(None) for part in parts]
        joined = pa.concat_tables(plain, promote_options="permissive")
        return joined.unify_dictionaries().replace_schema_metadata(RUNS.metadata)


def _row(store: Store, run: Mapping[str, Any]) -> dict[str, Any]:
    made_by = run.get("provenance") or {}
    measured = run.get("measured") or {}
    git = made_by.get("git") or {}
    folder = store.node_dir(run["key"]) / "attempts" / run["attempt"]
    row = {name: run.get(name) for name in (*_PLAIN, "traceback_hash")}
    row |= {
        name: value for name, value in run.get("labels", {}).items() if name in _LABELS
    }
    row |= {name: _finite(measured[name]) for name in _MEASURED if name in measured}
    return row | {
        "wall_s": wall_s(run, folder),
        "gpu_h": _finite(gpu_hours(run, folder)),
        "kind": run.get("kind", "unknown"),
        "inputs": list(run.get("inputs", {}).items()),
        "slurm_job": (made_by.get("slurm") or {}).get("job"),
        "started": _time(run.get("started")),
        "finished": _time(run.get("finished")),
        "peak_mem": run.get("peak_mem_bytes"),
        "disk": _disk(folder),
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "provenance": json.dumps(made_by, sort_keys=True) if made_by else None,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _disk(folder: Path) -> int:
    size = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a running attempt's files come and go
                size += Path(here, name).stat().st_size
    return size
