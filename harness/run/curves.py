"""Training curves: means over short blocks of steps, so that a file stays small."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..store.tables import CURVES, build, write_table

_ROWS = 500  # per quantity of a training loop


class Curves:
    """Collects quantities over steps and writes curves.parquet (DESIGN 7)."""

    def __init__(self, key: str, steps: int, per_epoch: float) -> None:
        """`per_epoch`: optimiser steps that draw as many cases as there are."""
        self.key = key
        self.block = max(1, steps // _ROWS)
        self.per_epoch = per_epoch
        self._started = time.monotonic()
        self._rows: list[dict[str, object]] = []
        self._open: dict[str, list[float]] = defaultdict(list)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of step `step` (0-based)."""
        for quantity, value in values.items():
            self._open[quantity].append(value)
        if (step + 1) % self.block == 0:
            for quantity, seen in self._open.items():
                self._add("train", quantity, step + 1, sum(seen) / len(seen))
            self._open.clear()

    def val(self, step: int, values: Mapping[str, float | None]) -> None:
        """Take validation values after `step` steps; an undefined one leaves no row."""
        self.put("val", step, values)

    def put(self, split: str, step: int, values: Mapping[str, float | None]) -> None:
        """Take values of `split` after `step` steps as they are."""
        for quantity, value in values.items():
            if value is not None:
                self._add(split, quantity, step, value)

    def validations(self) -> list[dict[str, float]]:
        """Return what every validation found, quantity by quantity, in their order."""
        found: dict[int, dict[str, float]] = {}
        for row in self._rows:
            if row["split"] == "val":
                step, value = int(str(row["step"])), float(str(row["value"]))
                found.setdefault(step, {})[str(row["quantity"])] = value
        return [found[step] for step in sorted(found)]

    def last(self, share: float) -> dict[str, float]:
        """Return `last_means` of what is written so far."""
        return last_means(self._rows, share)

    def _add(self, split: str, quantity: str, step: int, value: float) -> None:
        self._rows.append(
            {
                "key": self.key, "split": split, "quantity": quantity, "step": step,
                "epoch": step / self.per_epoch, "value": value,
                "wall_s": time.monotonic() - self._started,
            }
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return everything collected so far as plain JSON, with the seconds spent."""
        return {
            "rows": self._rows,
            "open": dict(self._open),
            "elapsed_s": time.monotonic() - self._started,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, of another process too; its seconds count on."""
        self._rows = [dict(row) for row in state["rows"]]
        self._open.clear()
        self._open.update({name: list(seen) for name, seen in state["open"].items()})
        self._started = time.monotonic() - float(state["elapsed_s"])

    def write(self, path: Path) -> None:
        """Write what was collected."""
        columns = {name: [row[name] for row in self._rows] for name in CURVES.names}
        write_table(path, build("curves", columns))


def last_means(rows: Iterable[Mapping[str, object]], share: float) -> dict[str, float]:
    """Return the mean of each training quantity over the last `share` of the steps.

    rows: of one training, as curves.parquet has them.
    """
    own = [
        (str(row["quantity"]), int(str(row["step"])), float(str(row["value"])))
        for row in rows
        if row["split"] == "train"
    ]
    end = max((step for _, step, _ in own), default=0)
    found: dict[str, list[float]] = defaultdict(list)
    for quantity, step, value in own:
        if step > min(end - 1, (1 - share) * end):
            found[quantity].append(value)
    return {quantity: sum(seen) / len(seen) for quantity, seen in found.items()}
