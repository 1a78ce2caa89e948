"""Values that change with the global step."""

from __future__ import annotations

import math
from collections.abc import Sequence


def cosine_with_warmup(
    step: int, total: int, warmup: int, *, peak: float = 1.0, floor: float = 0.0
) -> float:
    """Linear rise to `peak` over `warmup` steps, then half a cosine down to `floor`.

    step counts from 0. Step 0 already has peak / (warmup + 1) (a step at rate 0 would
    be lost); step `warmup` has `peak`, step `total` and later have `floor`.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    phase = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * (1 + math.cos(math.pi * phase)) / 2


def stepped_with_warmup(
    step: int, total: int, warmup: int, drops: Sequence[float], peak: float
) -> float:
    """Linear rise to `peak` as in `cosine_with_warmup`, then a tenth of it at each drop.

    drops: shares of `total`, in any order.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.1 ** sum(step >= share * total for share in drops)


def teacher_temperature(
    step: int, warmup: int, *, start: float = 0.04, end: float = 0.07, delay: int = 0
) -> float:
    """Temperature of the teacher's softmax: `start`, then linear to `end` (METHODS 0).

    It stays at `start` for `delay` steps (SMIT's patch loss), rises over `warmup` steps
    and stays at `end`.
    """
    if step < delay:
        return start
    if step >= delay + warmup:
        return end
    return start + (end - start) * (step - delay) / warmup
