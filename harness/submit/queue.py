"""How often SLURM is asked: one squeue for all jobs, less often when it is slow or down.

A controller serves thousands of people and answers squeue under a lock: a loop that asks
every second slows everybody down. Between two questions the last answer stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from . import squeue
from .records import Submission
from .squeue import Queued

PAUSE_S = 35.0  # between two questions to a controller that answers at once
LONGEST_S = 180.0  # to one that is slow or down; snakemake's limits are the same
SLOW_S = 5.0  # an answer that takes longer comes from a controller in trouble


class PacedQueue:
    """Asks squeue when it is time, else returns the last answer.

    pause_s: between two questions; it doubles, up to `longest_s`, with each answer that
    is slow or missing, and is back at the first quick one.
    """

    def __init__(
        self,
        pause_s: float = PAUSE_S,
        longest_s: float = LONGEST_S,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first_s, self._longest_s, self._clock = pause_s, longest_s, clock
        self._pause_s = pause_s
        self._next: float | None = None
        self._answer: list[Queued] | None = None

    @property
    def pause_s(self) -> float:
        """Seconds to the next question."""
        return 0.0 if self._next is None else max(0.0, self._next - self._clock())

    def __call__(self, records: Sequence[Submission] = ()) -> list[Queued] | None:
        """Return what is queued, or None while SLURM does not answer."""
        if self.pause_s > 0:
            return self._answer
        started = self._clock()
        self._answer = squeue.ask(records)
        took = self._clock() - started
        if self._answer is None or took > SLOW_S:
            self._pause_s = min(self._longest_s, self._pause_s * 2)
        else:
            self._pause_s = self._first_s
        # A first question that failed already waits longer than the pause.
        self._next = self._clock() + self._pause_s
        return self._answer
