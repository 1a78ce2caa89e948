"""Random draws per sample, the same whoever computes the sample.

A step's batch may be spread over ranks and micro-batches. Each of these shares makes the
draws of the whole batch, from generators in the same state, and takes its own rows. So
masks, views and noise do not depend on how many processes there are. Draw everything
that has one row per sample through `rows`; in one process it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The part `index` (0-based) of `count` of a batch, `regions` regions each."""

    index: int
    count: int
    regions: int


_WHOLE = Share(0, 1, 1)
_current: ContextVar[Share] = ContextVar("share", default=_WHOLE)


@contextmanager
def share(mine: Share) -> Iterator[None]:
    """Within this block, `rows` returns the rows of one share of the batch."""
    token = _current.set(mine)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Share:
    """Return the share that `rows` serves now."""
    return _current.get()


def my_rows() -> slice:
    """Return which regions of the whole batch are this share's."""
    mine = _current.get()
    if mine.count == 1:
        return slice(0, None)
    return slice(mine.index * mine.regions, (mine.index + 1) * mine.regions)


def rows(number: int, draw: Callable[[int], Tensor]) -> Tensor:
    """Return `number` rows of random numbers, those of this share.

    draw(n): n rows (n, ...) from a generator. number: a multiple of the share's regions;
    where a region has several views they come view by view (all first views, then all
    second ones), as torch.cat of views gives. Raises ValueError for any other number.
    """
    mine = _current.get()
    if mine.count == 1:
        return draw(number)
    if number % mine.regions:
        msg = f"{number} rows cannot be shared out: a share has {mine.regions} regions"
        raise ValueError(msg)
    drawn = draw(number * mine.count)
    rest = drawn.shape[1:]
    parts = drawn.view(number // mine.regions, mine.count, mine.regions, *rest)
    return parts[:, mine.index].reshape(number, *rest)
