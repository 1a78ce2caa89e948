"""GPU-hours that a benchmark has cost, what it still needs, and the time that is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..plan.cost import Likeness, Past
from ..store.spent import gpu_hours

if TYPE_CHECKING:
    from .states import Observer


@dataclass(frozen=True)
class Spending:
    """Sums over nodes, each counted once.

    spent_gpu_h: of all attempts, failed and lost ones too; left_gpu_h: of what is not
    published; active_s: seconds of work in what runs or waits to run. The last two are
    means over like nodes, and None where nothing like one of them has been published.
    """

    spent_gpu_h: float
    left_gpu_h: float | None
    active_s: float | None


def spending(
    observer: Observer, nodes: Iterable[tuple[str, Likeness]], active: Collection[str]
) -> Spending:
    """Sum over `nodes`: (key, what it is like); active: keys that run or wait to run."""
    listed = dict(nodes)
    past = Past(observer.done)
    past.look_at(listed.items())
    spent, left, seconds = 0.0, 0.0, 0.0
    left_known = seconds_known = True
    for key, likeness in listed.items():
        if key in observer.done:
            spent += _published(observer.done.run(key))
            continue
        for record in observer.attempts(key):
            spent += gpu_hours(record, observer.store.attempt_dir(record)) or 0.0
        mean = past.mean(likeness)
        if mean is None:
            left_known = False
            seconds_known = seconds_known and key not in active
            continue
        left += mean[1]
        seconds += mean[0] if key in active else 0.0
    return Spending(
        spent, left if left_known else None, seconds if seconds_known else None
    )


def _published(run: Mapping[str, Any]) -> float:
    """Return the GPU-hours of a published node, with those of earlier attempts at it."""
    earlier = run.get("earlier") or {}
    found = (run.get("gpu_h"), earlier.get("gpu_h"))
    return sum(float(hours) for hours in found if isinstance(hours, (int, float)))
