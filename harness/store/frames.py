"""Tidy data frames of a results folder: `harness.load("results")`.

Every row carries the labels of its node, so that nothing has to be joined. Columns are
those of results/README.md after LABELS. Text with few distinct values is categorical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema.errors import UserError, nearest
from . import query
from .index import Done
from .records import Manifest
from .runs import runs_table
from .store import Store
from .tables import RUNS, SCHEMAS

if TYPE_CHECKING:
    import pandas as pd

# Of each row's node, in this order; integers may be missing (<NA>).
LABELS = (
    "method", "encoder", "task", "protocol", "label_budget", "fold", "seed",
    "subset_seed", "pretraining_seed", "pretraining_key", "tier", "corpus", "overlap",
    "n_train", "analysis", "against",
)  # fmt: skip
_NUMBERS = frozenset({"fold", "seed", "subset_seed", "pretraining_seed", "n_train"})
# Kept as they are: text that is different in every row, or no text at all.
_PLAIN = frozenset({"message", "provenance", "inputs", "scores", "attempt"})


class Results:
    """A results folder as of the moment at which it was loaded.

    Each method returns a new data frame. Keywords keep rows: a value, or a list of
    them, for any label or text column, as in `cases(metric="dice", task=["a", "b"])`.
    Raises UserError for a column that the table lacks; a value that never occurs leaves
    no rows.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a results folder. Raises UserError if there is none."""
        root = Path(folder)
        if not (root / "format.json").exists():
            msg = f"{root} is not a results folder: it has no format.json"
            raise UserError(msg)
        self.store = Store(root)
        self._done = self.store.done()
        self._labels: dict[str, Manifest] | None = None

    def __repr__(self) -> str:
        return f"Results({str(self.store.root)!r})"

    def runs(self, **only: Any) -> pd.DataFrame:
        """Return one row per attempt at any node, failed ones included.

        wall_s in seconds, gpu_h in GPU-hours, memory and disk in bytes, times in UTC.
        """
        table = runs_table(self.store)
        keep = _mask(table, _checked("runs", only, RUNS.names))
        import pandas as pd

        # Integers that may be missing stay integers.
        integers = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        frame: pd.DataFrame = _plain(table.filter(keep)).to_pandas(
            types_mapper=integers.get
        )
        return frame

    def cells(self, **only: Any) -> pd.DataFrame:
        """Return one row per published evaluation: key (64 digits) and LABELS."""
        chosen = self._chosen("evaluate", _checked("cells", only, ("key", *LABELS)))
        return _labelled(list(chosen), chosen)

    def labels(self) -> pd.DataFrame:
        """Return key and LABELS of every published node, pretrainings included."""
        chosen = self._chosen(None, {})
        return _labelled(list(chosen), chosen)

    def manifest(self, key: str) -> Manifest:
        """Return a published node's manifest. KeyError if there is none."""
        return self._done[key]

    def cases(self, **only: Any) -> pd.DataFrame:
        """Return one row per cell, case, structure and metric.

        value: Dice in [0, 1], HD95 in mm, missing where undefined, with the reason.
        """
        return self._rows("cases", only)

    def predictions(self, **only: Any) -> pd.DataFrame:
        """Return one row per cell, split and case of classifications.

        split: val or test; y_true: index of the class; scores: one per class.
        """
        return self._rows("predictions", only)

    def curves(self, **only: Any) -> pd.DataFrame:
        """Return one row per training, step and quantity. wall_s in seconds."""
        return self._rows("curves", only)

    def features(self, **only: Any) -> pd.DataFrame:
        """Return one row per analysed node, layer and quantity."""
        return self._rows("features", only)

    def _rows(self, name: str, only: Mapping[str, Any]) -> pd.DataFrame:
        own = [column for column in SCHEMAS[name].names if column != "key"]
        wanted = _checked(name, only, ("key", *LABELS, *own))
        of_node = {k: v for k, v in wanted.items() if k not in own}
        chosen = self._chosen(None, of_node)
        files = {
            key: self._done.table(key, name)
            for key, manifest in chosen.items()
            if f"{name}.parquet" in manifest.files
        }
        of_row = {k: v for k, v in wanted.items() if k in own}
        table = query.rows(files, own, of_row)
        labels = _labelled(list(files), chosen)
        cell = table["cell"].to_numpy()
        frame: pd.DataFrame = labels.take(cell).reset_index(drop=True)
        values = _plain(table.drop_columns(["cell"])).to_pandas()
        for column in values:
            frame[column] = values[column]
        return frame

    def _chosen(
        self, kind: str | None, only: Mapping[str, list[Any]]
    ) -> dict[str, Manifest]:
        """Return the published nodes whose labels fit."""
        if self._labels is None:
            self._labels = _readable(self._done)
        return {
            key: manifest
            for key, manifest in self._labels.items()
            if kind in (None, manifest.kind)
            and all(
                (key if name == "key" else manifest.labels.get(name)) in values
                for name, values in only.items()
            )
        }


def _readable(done: Done) -> dict[str, Manifest]:
    return {key: done[key] for key in done}


def _checked(
    table: str, only: Mapping[str, Any], known: Iterable[str]
) -> dict[str, list[Any]]:
    """Return the values to keep, by column. Raises UserError for an unknown column."""
    columns = tuple(known)
    for name in only:
        if name not in columns:
            msg = (
                f"the table {table} has no column {name!r}: expected one of "
                f"{', '.join(columns)}.{nearest(name, columns)}"
            )
            raise UserError(msg)
    return {
        name: list(value) if isinstance(value, (list, tuple, set)) else [value]
        for name, value in only.items()
    }


def _labelled(keys: list[str], manifests: Mapping[str, Manifest]) -> pd.DataFrame:
    """Return key and labels of nodes, one row each, in this order."""
    import pandas as pd

    columns: dict[str, Any] = {"key": pd.Categorical(keys)}
    for name in LABELS:
        values = [manifests[key].labels.get(name) for key in keys]
        if name in _NUMBERS:
            columns[name] = pd.array(values, dtype="Int64")
        else:
            columns[name] = pd.Categorical(values)
    return pd.DataFrame(columns)


def _mask(table: pa.Table, only: Mapping[str, list[Any]]) -> pa.Array:
    keep = pa.array([True] * table.num_rows)
    for name, values in only.items():
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        keep = pc.and_(keep, pc.is_in(column, pa.array(values, column.type)))
    return keep


def _plain(table: pa.Table) -> pa.Table:
    """Turn text into dictionaries, which pandas takes as categories."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name not in _PLAIN:
            encoded = table[field.name].dictionary_encode()
            table = table.set_column(place, field.name, encoded)
    return table
