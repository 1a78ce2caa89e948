"""Plain output: JSON documents, aligned columns, numbers for people. No colour."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence

LIVE_S = 0.2  # between two states of a live line


def emit_json(document: object) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def say(text: str = "") -> None:
    """Write one line to stdout."""
    sys.stdout.write(text + "\n")


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as left-aligned columns under their heads."""
    table = [list(head), *([str(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        say("  ".join(padded).rstrip())


def progress_line(done_word: str, noun: str) -> Callable[[int, int], None] | None:
    """Return what shows 'hashed 3 of 7 nodes' on a terminal; elsewhere None."""
    if not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done < total and now - shown < LIVE_S:
            return
        shown = now
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done_word} {done:,} of {counted(total, noun)}{end}")
        sys.stderr.flush()

    return show


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> counted(1, "cell"), counted(1200, "cell")
    ('1 cell', '1,200 cells')
    """
    noun = singular if number == 1 else plural or f"{singular}s"
    return f"{number:,} {noun}"


def size(amount: float) -> str:
    """Return bytes for people.

    >>> size(1_500_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def duration(hours: float) -> str:
    """Return a duration for people.

    >>> duration(0.5), duration(30)
    ('30 min', '30 h')
    """
    return f"{hours * 60:.2g} min" if hours < 1 else f"{hours:.3g} h"
