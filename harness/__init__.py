"""Which self-supervised pretraining is worth using for medical images, and how sure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store.frames import Results

__version__ = "0.1.0"


def load(results: str | Path = "results") -> Results:
    """Open a results folder for data frames: runs, cells, cases, predictions, curves.

    Raises UserError if it is none. docs/read-the-results.md shows what can be done.
    """
    from .store.frames import Results  # so that `harness --help` needs no pandas

    return Results(results)
