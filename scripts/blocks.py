"""Blocks of a document that a script writes: <!-- NAME --> to the next <!-- end -->."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def put(document: Path, blocks: Mapping[str, Sequence[str]], *, write: bool) -> int:
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
