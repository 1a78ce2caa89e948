"""Signals that ask a job to stop: now, or for a training once its step is saved.

SIGUSR2 comes from SLURM some time before a limit or a preemption, SIGTERM from scancel,
a shutdown or the local backend, SIGINT from Ctrl-C. SIGKILL and a lost node come without
a word: against them only checkpoints by cadence help.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Interrupted(KeyboardInterrupt):
    """A job was asked to stop. Handled wherever Ctrl-C is, and no `Exception`.

    number: the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class Progress:
    """Whether this process has saved or published anything.

    A job that has may be run again as often as it is stopped: it begins further on each
    time. One that has not would be stopped at the same place for ever.
    """

    def __init__(self) -> None:
        self.made = False


progress = Progress()


class Pending:
    """The first signal that has arrived since a training began to listen, or None."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Take note; a second Ctrl-C does not wait for the step to end."""
        if self.number is not None and number == signal.SIGINT:
            raise Interrupted(number)
        if self.number is None:
            self.number = number


@contextmanager
def deferred() -> Iterator[Pending]:
    """Only note signals within this block, so that a training can end its step.

    Elsewhere than in the main thread, where signals cannot be had, none is noted.
    """
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    before = {number: signal.signal(number, pending) for number in _STOP}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def deliver(number: int) -> NoReturn:
    """Do what a signal asks for, after a training has saved: as if it came just now.

    Inside a job of SLURM the handler is submitit's, which asks for a requeue and ends
    the process. Raises Interrupted where the handler returns or there is none.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        handler(number, None)
    raise Interrupted(number)


@contextmanager
def raised() -> Iterator[None]:
    """Raise Interrupted on SIGTERM and SIGUSR2 within this block, once.

    What follows the first signal (SLURM sends several) must not cut short what is being
    recorded, so it is ignored.
    """
    numbers = (signal.SIGTERM, signal.SIGUSR2)

    def stop(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
