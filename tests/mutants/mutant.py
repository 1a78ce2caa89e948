"""A mutant: a trap, how a source text falls into it, and the test that has to see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One bug to inject.

    trap: the mistake in words; source: where it is listed; file: path from the root of
    the project; old: text that stands there exactly once; new: what takes its place; red:
    node ids of the tests that must fail, blank-separated; quick: tried by `make test`.
    """

    trap: str
    source: str
    file: str
    old: str
    new: str
    red: str
    quick: bool = False

    def apply(self, root: Path) -> str:
        """Inject the bug into a copy of the project; return the text as it was.

        Raises ValueError where `old` does not stand there exactly once: the source has
        changed since the mutant was written.
        """
        path = root / self.file
        text = path.read_text()
        if (found := text.count(self.old)) != 1:
            msg = f"{self.trap}: {self.file} has {found} times what shall be replaced"
            raise ValueError(msg)
        path.write_text(text.replace(self.old, self.new))
        return text
