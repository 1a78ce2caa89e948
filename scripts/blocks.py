"""Blocks of a document that a script writes: <!-- NAME --> to the next <!-- end -->."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Blocks = Mapping[str, Sequence[str]]


def main(
    about: str,
    document: Path,
    blocks_of: Callable[[Path], Blocks],
    draw: Callable[[Path], None] | None = None,
) -> int:
    """Print the blocks of a document, or put them there; return the exit code.

    about: docstring of the script; blocks_of: takes the results folder; draw: takes it
    too, and writes the pictures that the blocks show.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write and draw is not None:
        draw(options.results)
    return _put(document, blocks_of(options.results), write=options.write)


def _put(document: Path, blocks: Blocks, *, write: bool) -> int:
    """Put lines into the blocks of a document, or print them; return the exit code.

    A name without a marker in the document is said, and nothing is written.
    """
    text = document.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        block = "\n".join(lines)
        if not write:
            sys.stdout.write(f"{name}\n{block}\n\n")
            continue
        start, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{start}{mark}{block}\n{end}{after}"
        if not (mark and end):
            sys.stderr.write(f"{document}: no marker <!-- {name} -->\n")
            return 2
    if write:
        document.write_text(text, encoding="utf-8")
    return 0
