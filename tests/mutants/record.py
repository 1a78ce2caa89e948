"""What is written of a run of the mutants."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from mutate import Verdict

_PAGE = """# Mutants: does the suite see the traps?

Written by `make mutants` on {date} (Python {python}; {minutes:.1f} minutes,
{jobs} at a time).

Each row is a bug that the description of the methods warns of, or its like: one edit of
the source in a copy of the project. The tests named for it must pass without it and fail
with it; the test that failed first is shown. A mutant that survives is a gap of the suite.

**{killed} of {all} killed.**{rest}

| trap | source | edited | first test that failed |
|---|---|---|---|
{rows}
"""


def line(verdict: Verdict) -> str:
    """Return a line for the terminal."""
    by = f" by {verdict.by}" if verdict.state == "killed" else f" {verdict.by}"
    what = verdict.mutant.trap
    return f"{verdict.state:8} {verdict.seconds:5.1f} s  {what}{by}".rstrip()


def page(verdicts: Sequence[Verdict], *, seconds: float, jobs: int) -> str:
    """Return the page, Markdown."""
    killed = sum(each.state == "killed" for each in verdicts)
    rest = "".join(
        f"\n\n{each.state}: {each.mutant.trap} ({each.mutant.red}) {each.by}".rstrip()
        for each in verdicts
        if each.state != "killed"
    )
    rows = "\n".join(
        f"| {each.mutant.trap} | {each.mutant.source} | `{each.mutant.file}` "
        f"| {_test(each)} |"
        for each in verdicts
    )
    return _PAGE.format(
        date=datetime.now(UTC).date(), python=platform.python_version(),
        minutes=seconds / 60, jobs=jobs, killed=killed, all=len(verdicts), rest=rest,
        rows=rows,
    )  # fmt: skip


def _test(verdict: Verdict) -> str:
    if verdict.state != "killed":
        return verdict.state
    file, _, name = verdict.by.partition("::")
    return f"`{file.removeprefix('tests/')}`: {name.replace('|', chr(92) + '|')}"
