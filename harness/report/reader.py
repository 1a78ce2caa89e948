"""Where a report gets rows from: a store, or whatever offers the same two reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from ..analyse.scores import Charge
from ..schema.scores import Reason
from ..store import Store, query


class Reader(Protocol):
    """Rows of published cells. Column `cell` is the place of the key in `keys`."""

    def case_scores(
        self, keys: Sequence[str], *, metric: str, charge: Mapping[Reason, Charge]
    ) -> pd.DataFrame:
        """Return one row per (cell, case): columns as of harness.store.query."""

    def predictions(self, keys: Sequence[str], *, split: str = "test") -> pd.DataFrame:
        """Return predictions of a side: cell, case_id, group_id, y_true, scores."""


@dataclass(frozen=True)
class StoreReader:
    """Reads the tables of evaluate nodes. table: (key, name of a table) -> file."""

    table: Callable[[str, str], Path]

    @classmethod
    def of(cls, store: Store) -> StoreReader:
        """Read a store as of now: one look at its index serves every table.

        Asking for a table of a node that is not published raises KeyError.
        """
        return cls(store.done().table)

    def case_scores(
        self, keys: Sequence[str], *, metric: str, charge: Mapping[Reason, Charge]
    ) -> pd.DataFrame:
        """Aggregate the structures of each case, in DuckDB."""
        files = {key: self.table(key, "cases") for key in keys}
        return query.case_scores(files, metric=metric, charge=charge).to_pandas()

    def predictions(self, keys: Sequence[str], *, split: str = "test") -> pd.DataFrame:
        """Read the predictions of a side, `test` or `val`."""
        files = {key: self.table(key, "predictions") for key in keys}
        return query.predictions(files, split=split).to_pandas()
