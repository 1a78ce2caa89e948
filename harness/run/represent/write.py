"""What an analyse node leaves: rows of the features table."""

from __future__ import annotations

from collections.abc import Sequence

from ...store.tables import build, write_table
from ..node import Node


def write_features(
    node: Node, rows: Sequence[tuple[str, str, float | None, int]]
) -> None:
    """Write features.parquet from (layer, quantity, value, n); value None: undefined."""
    layer, quantity, value, n = zip(*rows, strict=True)
    columns = {
        "key": [node.key] * len(rows),
        "layer": layer,
        "quantity": quantity,
        "value": value,
        "n": n,
    }
    write_table(node.attempt.path("features.parquet"), build("features", columns))
