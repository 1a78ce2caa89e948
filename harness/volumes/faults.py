"""Several faults of a dataset in one message."""

from __future__ import annotations

from collections.abc import Sequence

from ..schema.errors import DataError

SHOWN = 10


def gathered(name: str, faults: Sequence[str]) -> DataError:
    """Return one DataError that names ten faults of dataset `name` and counts the rest.

    A single fault is its own message. `faults` must not be empty.
    """
    if len(faults) == 1:
        return DataError(faults[0])
    lines = [f"dataset {name!r} has {len(faults)} faults:", *faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"and {len(faults) - SHOWN} more.")
    return DataError("\n  ".join(lines))
