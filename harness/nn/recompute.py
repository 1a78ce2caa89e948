"""Blocks whose inner activations are computed again in the backward pass.

Memory for time: of a block only its input is kept (gradient checkpointing, Chen et al.
2016). Every draw is repeated as it was, so results do not change by a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from . import draws

T = TypeVar("T")
_enabled: ContextVar[bool] = ContextVar("recompute", default=False)


@contextmanager
def enabled(answer: bool) -> Iterator[None]:  # noqa: FBT001
    """Within this block, say whether `recomputed` recomputes."""
    token = _enabled.set(answer)
    try:
        yield
    finally:
        _enabled.reset(token)


def recomputed(
    block: Callable[..., T], x: Tensor, rng: torch.Generator, **settings: Any
) -> T:
    """Return block(x, rng, **settings), keeping no more than x where that is enabled."""
    if not (_enabled.get() and torch.is_grad_enabled()):
        return block(x, rng, **settings)
    start, mine, runs = rng.get_state(), draws.current(), 0

    def run(x: Tensor) -> T:
        nonlocal runs
        runs += 1
        if runs == 1:
            return block(x, rng, **settings)
        now = rng.get_state()
        rng.set_state(start)
        try:  # the end is left out where nothing needs it, by an exception
            # The backward pass may run in a thread of its own, which knows of no share.
            with draws.share(mine):
                return block(x, rng, **settings)
        finally:
            rng.set_state(now)

    result: T = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
    return result
