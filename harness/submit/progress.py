"""Progress of many jobs with the time that is left."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TextIO

QUIET_S = 30.0  # between two lines where the output is no terminal


class Progress:
    """Counts jobs as they end and shows one live line, or a line now and then.

    totals: {kind of job: how many}. The time left is the mean duration of each kind
    that has been seen, times what remains of it, over the workers; with a '>' in front
    while some kind has not been seen yet.
    """

    def __init__(
        self,
        totals: Mapping[str, int],
        *,
        workers: int = 1,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._totals = dict(totals)
        self._workers = max(1, workers)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._live = self._stream.isatty()
        self._start = clock()
        self._shown: float | None = None
        self._ended: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._timed: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._last_label = ""

    def end(self, kind: str, state: str, *, label: str, seconds: float | None) -> None:
        """Count a job of `kind` that ended 'done', 'failed' or 'blocked'."""
        self._ended[kind] += 1
        if state == "done":
            self._last_label = label
        else:
            self._bad[state] += 1
        if seconds is not None and state == "done":
            self._timed[kind] += 1
            self._seconds[kind] += seconds  # type: ignore[assignment]

    def show(self, running: int, *, force: bool = False) -> None:
        """Show the state with `running` jobs at work, unless it was shown just now."""
        now = self._clock()
        pause = 0.2 if self._live else QUIET_S
        if not force and self._shown is not None and now - self._shown < pause:
            return
        self._shown = now
        line = self.line(running)
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:width]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Print a line that stays, above the live line."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        self._stream.flush()

    def close(self, running: int = 0) -> None:
        """Show the last state and leave the live line."""
        self.show(running, force=True)
        if self._live:
            self._stream.write("\n")
            self._stream.flush()

    def line(self, running: int) -> str:
        """Return the state as one line."""
        ended, total = sum(self._ended.values()), sum(self._totals.values())
        parts = [f"{ended}/{total} jobs"]
        parts += [f"{count} {state}" for state, count in sorted(self._bad.items())]
        if running:
            parts.append(f"{running} running")
        parts.append(f"{duration(self._clock() - self._start)} so far")
        if ended < total:
            parts.append(self._left())
        if self._last_label and ended < total:
            parts.append(f"last: {self._last_label}")
        return ", ".join(parts)

    def _left(self) -> str:
        left, unseen = 0.0, False
        for kind, total in self._totals.items():
            remaining = total - self._ended[kind]
            if remaining and not self._timed[kind]:
                unseen = True
            elif remaining:
                left += remaining * self._seconds[kind] / self._timed[kind]
        if not left:
            return "time left not known yet"
        sign = ">" if unseen else "about "
        return f"{sign}{duration(left / self._workers)} left"


def duration(seconds: float) -> str:
    """Return seconds for people.

    >>> duration(8.2), duration(75), duration(7300), duration(200_000)
    ('8s', '1m15s', '2h01m', '2d07h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"
