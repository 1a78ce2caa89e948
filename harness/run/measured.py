"""Rows of the table `features` (DESIGN 7): what was measured on activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..store.tables import build, write_table
from .node import Node


class Measured(NamedTuple):
    """One quantity of one layer, None where undefined; n: of how many values."""

    layer: str
    quantity: str
    value: float | None
    n: int


def write_features(node: Node, rows: Sequence[Measured]) -> None:
    """Write features.parquet of a node's attempt; rows: one or more."""
    layer, quantity, value, n = zip(*rows, strict=True)
    columns = {
        "key": [node.key] * len(rows), "layer": layer, "quantity": quantity,
        "value": value, "n": n,
    }  # fmt: skip
    write_table(node.attempt.path("features.parquet"), build("features", columns))
