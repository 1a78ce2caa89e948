"""Where a report gets rows from: a store, or whatever offers the same two reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from ..analyse.scores import Charge
from ..schema.scores import Reason
from ..store import Store, query
from ..store.index import Done

SCORE = "score"  # what protocols call their validation score; a sweep adds its rate
# What was noted of a node: seconds, GPU-hours, bytes, numbers of parameters and cases.
MEASURED = (
    "wall_s", "gpu_h", "peak_mem", "peak_gpu_mem", "trainable_params", "n_train",
    "encoder_params",
)  # fmt: skip


class Reader(Protocol):
    """Rows of published cells. Column `cell` is the place of the key in `keys`."""

    def case_scores(
        self,
        keys: Sequence[str],
        *,
        metric: str,
        charge: Mapping[Reason, Charge],
        structure: str | None = None,
    ) -> pd.DataFrame:
        """Return one row per (cell, case): columns as of harness.store.query."""

    def predictions(self, keys: Sequence[str], *, split: str = "test") -> pd.DataFrame:
        """Return predictions of a side: cell, case_id, group_id, y_true, scores."""

    def measured(self, keys: Sequence[str]) -> pd.DataFrame:
        """Return one row per key that is published: key and the columns MEASURED."""

    def validated(self, keys: Sequence[str]) -> pd.DataFrame:
        """Return the validation scores of adaptations: cell, step, wall_s and value.

        An adaptation whose curves are not there any more has no row.
        """

    def trained(self, keys: Sequence[str]) -> pd.DataFrame:
        """Return curves of training: cell, quantity, step, wall_s and value.

        A node whose curves are not there any more has no row.
        """

    def features(self, keys: Sequence[str]) -> pd.DataFrame:
        """Return the table `features`: cell, layer, quantity, value and n.

        A node that published no such table has no row.
        """

    def file(self, key: str, name: str) -> Path:
        """Return the path of a published file. KeyError if there is none."""


@dataclass(frozen=True)
class StoreReader:
    """Reads what a store has published. done: as of one moment; places: of rows, kept."""

    done: Done
    places: dict[tuple[str, tuple[str, ...]], Mapping[str, Path]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def of(cls, store: Store) -> StoreReader:
        """Read a store as of now: one look at its index serves every table.

        Asking for a table of a node that is not published raises KeyError.
        """
        return cls(store.done())

    def case_scores(
        self,
        keys: Sequence[str],
        *,
        metric: str,
        charge: Mapping[Reason, Charge],
        structure: str | None = None,
    ) -> pd.DataFrame:
        """Aggregate the structures of each case, in DuckDB, or read one of them."""
        files = self._files(keys, "cases")
        return query.case_scores(
            files, metric=metric, charge=charge, structure=structure
        ).to_pandas()

    def predictions(self, keys: Sequence[str], *, split: str = "test") -> pd.DataFrame:
        """Read the predictions of a side, `test` or `val`."""
        files = self._files(keys, "predictions")
        return query.predictions(files, split=split).to_pandas()

    def _files(self, keys: Sequence[str], table: str) -> Mapping[str, Path]:
        """Return where the rows of nodes lie; looked up once, for 20 tables ask."""
        asked = (table, tuple(keys))
        found = self.places.get(asked)
        if found is None:
            found = {key: self.done.table(key, table) for key in keys}
            self.places[asked] = found
        return found

    def features(self, keys: Sequence[str]) -> pd.DataFrame:
        """Read rows of the table `features`."""
        files, places = {}, []
        for place, key in enumerate(keys):
            with suppress(KeyError):
                files[key] = self.done.table(key, "features")
                places.append(place)
        columns = ["layer", "quantity", "value", "n"]
        found = query.rows(files, columns, {}).to_pandas()
        return found.assign(cell=np.array(places, dtype=int)[found.cell.to_numpy(int)])

    def file(self, key: str, name: str) -> Path:
        """Look a published file up."""
        return self.done.path(key, name)

    def measured(self, keys: Sequence[str]) -> pd.DataFrame:
        """Take what the manifests say."""
        rows = []
        for key in keys:
            if key in self.done:
                run = self.done[key].run
                run = {**run, "peak_mem": run.get("peak_mem_bytes")}
                rows.append({"key": key, **{name: run.get(name) for name in MEASURED}})
        found = pd.DataFrame(rows, columns=["key", *MEASURED])
        return found.astype(dict.fromkeys(MEASURED, "float64"))

    def validated(self, keys: Sequence[str]) -> pd.DataFrame:
        """Read what adaptations call their score."""
        found = self._curves(keys, "val")
        return found[found.quantity == SCORE].drop(columns="quantity")

    def trained(self, keys: Sequence[str]) -> pd.DataFrame:
        """Read what trainings leave of every block of steps."""
        return self._curves(keys, "train")

    def _curves(self, keys: Sequence[str], split: str) -> pd.DataFrame:
        files, places = {}, []
        for place, key in enumerate(keys):
            with suppress(KeyError):  # published, and its files are gone
                files[key] = self.done.table(key, "curves")
                places.append(place)
        if not files:
            return pd.DataFrame(columns=["cell", "quantity", "step", "wall_s", "value"])
        found = query.curves(files, split=split).to_pandas()
        return found.assign(cell=np.array(places)[found.cell.to_numpy()])
