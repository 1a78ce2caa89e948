"""The interquartile mean over tasks and runs, for metrics that can be averaged so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..schema.errors import UserError
from .compare import stream
from .intervals import Bools, Floats
from .resample import Resample
from .scores import Layout, Stacked

COMMENSURABLE = frozenset({"dice"})


@dataclass(frozen=True)
class Iqm:
    """The mean of the middle half of the runs of a method on all tasks.

    low, high: percentiles over draws of cases and seeds, stratified by task. runs: how
    many (task, seed) scores there are. tasks: those that every method has.
    """

    protocol: str
    label_budget: str
    method: str
    encoder: str
    value: float
    low: float
    high: float
    runs: int
    tasks: tuple[str, ...]


def interquartile_means(
    stacked: Mapping[str, Stacked],
    layout: Layout,
    *,
    metric: str = "dice",
    level: float = 0.95,
    seed: int = 0,
    draws: int = 2000,
) -> list[Iqm]:
    """Return the IQM of every method for each protocol and label budget.

    A run's score is its mean over cases. A quarter of the runs, rounded down, is cut
    off at each end (Agarwal et al., NeurIPS 2021). Only tasks that all methods of a
    protocol and budget have count. Raises UserError for a metric whose values on
    different tasks are no common scale, such as HD95 in mm.
    """
    if metric not in COMMENSURABLE:
        msg = (
            f"the interquartile mean averages over tasks, which {metric} does not allow: "
            f"it is for {', '.join(sorted(COMMENSURABLE))}"
        )
        raise UserError(msg)
    sources = {
        task: (one, Resample.draw(
            one.scores.patient, one.scores.values.shape[2], stream(seed, task),
            draws=draws,
        ))
        for task, one in stacked.items()
    }  # fmt: skip
    rows = layout.groups
    found = []
    for (protocol, budget), mine in rows.groupby(
        ["protocol", "label_budget"], sort=False
    ):
        names = list(dict.fromkeys(zip(mine.method, mine.encoder, strict=True)))
        runs: dict[tuple[str, str], dict[str, tuple[Floats, Floats]]] = {}
        for name in names:
            own = mine[(mine.method == name[0]) & (mine.encoder == name[1])]
            runs[name] = {
                str(row.task): _runs(*sources[row.task], int(group))
                for group, row in zip(own.index, own.itertuples(), strict=True)
                if row.task in sources and _has(sources[row.task][0], int(group))
            }
        shared = [t for t in sources if all(t in runs[name] for name in names)]
        for name in names if shared else ():
            parts = [runs[name][task] for task in shared]
            place = (str(protocol), str(budget), *name)
            found.append(_of_method(parts, place, tuple(shared), level))
    return found


def _has(one: Stacked, group: int) -> bool:
    at = np.flatnonzero(one.groups == group)
    return bool(len(at) and one.scores.present[at[0]].any())


def _runs(one: Stacked, resample: Resample, group: int) -> tuple[Floats, Floats]:
    """Scores of a group's seeds, (1 + B, S), and how often each counts.

    The first row is what was measured, the others are the draws. A seed without any of
    the cases drawn counts 0 times.
    """
    at = int(np.flatnonzero(one.groups == group)[0])
    values, present = one.scores.values[at], one.scores.present[at]
    own: Bools = np.any(present, axis=0)
    cases = np.concatenate([np.ones((1, len(values))), resample.cases])
    counts = np.concatenate([own[None].astype(float), resample.seed_counts(own)])
    number = cases @ present
    means = cases @ values / np.where(number > 0, number, 1.0)
    return means, counts * (number > 0)


def _of_method(
    parts: list[tuple[Floats, Floats]],
    place: tuple[str, str, str, str],
    tasks: tuple[str, ...],
    level: float,
) -> Iqm:
    values = np.concatenate([part[0] for part in parts], axis=1)
    counts = np.concatenate([part[1] for part in parts], axis=1)
    middle = middle_means(values, counts)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(middle[1:], tails)
    value = float(middle[0])
    low, high = min(float(low), value), max(float(high), value)
    return Iqm(*place, value, low, high, int(counts[0].sum()), tasks)


def middle_means(values: Floats, counts: Floats) -> Floats:
    """Return the mean of each row (B, R) with a quarter cut off at each end.

    counts: (B, R) whole numbers, how often each value stands in the row. Of n values
    n // 4 are cut off at each end, as scipy.stats.trim_mean does. Rows without values
    give 0.
    """
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    ends = np.cumsum(np.take_along_axis(counts, order, axis=1), axis=1)
    total = ends[:, -1:]
    cut = total // 4
    kept = np.clip(ends, cut, total - cut)
    before = np.concatenate([np.zeros_like(total), ends[:, :-1]], axis=1)
    weight = kept - np.clip(before, cut, total - cut)
    number = weight.sum(axis=1)
    found: Floats = (ordered * weight).sum(axis=1) / np.where(number > 0, number, 1.0)
    return found
