"""How the state of a benchmark is shown to people: tables, one line, a live view."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from .progress import duration
from .states import STATES

if TYPE_CHECKING:
    from .status import CellStatus, Status

LISTED = 10  # failures that are printed
QUIET_S = 600.0  # between two lines that say the same, where there is no terminal


def text(found: Status) -> str:
    """Return counts by method, task and state, what they cost, and what went wrong."""
    shown = [state for state in STATES if found.counts()[state] or state == "done"]
    rows = [["method", "task", *shown]]
    for (method, task), n in found.groups().items():
        rows.append([method, task, *(str(n[state] or "") for state in shown)])
    for method, n in found.pretraining_groups().items():
        missing = [state for state in STATES if n[state] and state not in shown]
        more = [f"{n[state]} {state}" for state in missing]
        cells = [str(n[state] or "") for state in shown]
        rows.append([method, "(pretraining)", *cells, *more])
    for name_of, n in found.analysis_groups().items():
        missing = [state for state in STATES if n[state] and state not in shown]
        more = [f"{n[state]} {state}" for state in missing]
        cells = [str(n[state] or "") for state in shown]
        rows.append([name_of, "(analysis)", *cells, *more])
    return "\n".join(
        [*_aligned(rows), "", line(found), *_said(found), *failures(found)]
    )


def line(found: Status) -> str:
    """Return the state in one line."""
    counts = found.counts()
    parts = [f"{counts['done']} of {len(found.cells)} cells done"]
    parts += [
        f"{counts[state]:,} {state}"
        for state in STATES
        if counts[state] and state != "done"
    ]
    if found.eta_s is not None:
        parts.append(f"about {duration(found.eta_s)} left")
    if found.gpu_h_spent or found.gpu_h_left:
        parts.append(f"{found.gpu_h_spent:,.3g} GPU-hours spent")
    if found.gpu_h_left:
        parts.append(f"about {found.gpu_h_left:,.3g} to go")
    return ", ".join(parts)


def _said(found: Status) -> list[str]:
    if found.uses_slurm and not found.slurm_answers:
        return ["SLURM does not answer: what it has queued is shown as pending"]
    return []


def failures(found: Status) -> list[str]:
    """Return a line for each of the first failures, with its reason and its log."""
    every = (*found.pretrainings, *found.cells, *found.analyses)
    # Blocked cells repeat the reason of their pretraining: they come last.
    bad = [one for one in every if one.state in {"failed", "lost"}]
    bad += [one for one in every if one.state == "blocked"]
    lines = [""] if bad else []
    for one in bad[:LISTED]:
        log = f" (log: {one.log})" if one.log else ""
        lines.append(f"{one.state}: {name(one)}: {one.reason}{log}")
    if len(bad) > LISTED:
        lines.append(f"... and {len(bad) - LISTED} more (--json lists all)")
    if bad:
        lines.append(f"harness why {bad[0].key} says more of the first")
    return lines


def name(one: CellStatus) -> str:
    """Return a cell or pretraining in words."""
    words = (one.analysis, one.method, one.task, one.protocol, one.label_budget)
    fold = f" fold {one.fold}" if one.fold else ""
    return f"{' '.join(word for word in words if word)}{fold} seed {one.seed}"


class Live:
    """Shows the state again and again: in place on a terminal, else as lines of a log.

    Without a terminal a line is written when the counts have changed, and now and then,
    so that a log shows that somebody is still looking.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._last: tuple[str, float] = ("", 0.0)

    def show(self, found: Status, *, pause_s: float) -> None:
        """Show a state; the next look is in `pause_s` seconds."""
        if self._live:
            self._redraw(found, pause_s)
            return
        counts, now = str(sorted(found.counts().items())), time.monotonic()
        if counts == self._last[0] and now - self._last[1] < QUIET_S:
            return
        self._last = (counts, now)
        self._stream.write(f"{time.strftime('%H:%M:%S')} {line(found)}\n")
        self._stream.flush()

    def close(self, found: Status, notes: Sequence[str]) -> None:
        """Show the last state in full."""
        if self._live:
            self._stream.write("\x1b[H\x1b[J")
        self._stream.write("".join(f"{one}\n" for one in (text(found), *notes)))
        self._stream.flush()

    def _redraw(self, found: Status, pause_s: float) -> None:
        size = shutil.get_terminal_size()
        lines = text(found).splitlines()
        footer = (
            f"{time.strftime('%H:%M:%S')}, again in {pause_s:.0f} s; Ctrl-C stops looking, "
            "not the jobs"
        )
        room = max(3, size.lines - 2)
        if len(lines) > room:  # the totals and failures stand at the end
            lines = [*lines[: room // 2], "...", *lines[-(room - room // 2 - 1) :]]
        shown = [one[: size.columns] for one in [*lines, footer]]
        # Home, then each line to its end, then what is below: nothing flickers.
        self._stream.write("\x1b[H" + "".join(f"{one}\x1b[K\n" for one in shown))
        self._stream.write("\x1b[J")
        self._stream.flush()


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    columns = max(len(row) for row in rows)
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    widths = [max(len(row[i]) for row in full) for i in range(columns)]
    return [
        "  ".join(
            text.ljust(width) if i < 2 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in full
    ]
