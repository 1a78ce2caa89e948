"""Errors that a user can cause, and the exit codes that go with them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command (DESIGN 9)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    BLOCKED = 75


class UserError(Exception):
    """Something the user can mend: one sentence that says where and what to do.

    The command line prints it without a traceback and ends with exit code 2.
    """


class DataError(UserError):
    """A fault of one case or dataset. The message names the file or the case."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a YAML file: where it stands, what is wrong and what was expected."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Mistakes(UserError):
    """All mistakes of a file at once, in the order of their lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: tuple[Mistake, ...] = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def nearest(word: str, known: Sequence[str]) -> str:
    """Return ' Did you mean 'x'?' for the known word nearest to `word`, or ''."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
