"""One entry of a table per group, or per pair of groups, from rows of a reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..analyse.intervals import Intervals, doubtful
from ..analyse.scores import CaseMetric, Layout, Stacked
from ..analyse.weighted import Statistic
from .evidence import Evidence, Part
from .overlap import Marks
from .table import RULES, Entry, Kind, Measure, budget_order

# What an estimate is of: a group, or two groups (larger and smaller label budget).
Place = tuple[int, ...]
Found = dict[Place, Entry]


@dataclass(frozen=True)
class Wanted:
    """The entries that a table needs, in order; rows of the layout by group."""

    layout: Layout
    places: tuple[Place, ...]
    groups: Mapping[int, Mapping[str, Any]]
    keys: Mapping[int, tuple[str, ...]]
    marks: Marks

    @classmethod
    def of(cls, metric: Measure, evidence: Evidence, kind: Kind) -> Wanted:
        """Want every group, or each method's largest label budget with each smaller."""
        layout = evidence.layout(metric)
        groups = {int(g): row for g, row in layout.groups.to_dict("index").items()}
        keys = evidence.keys_of_groups(metric)
        if kind == "scores":
            places = tuple((group,) for group in groups)
            return cls(layout, places, groups, keys, evidence.marks)
        families: dict[tuple[str, ...], list[int]] = {}
        for group, row in groups.items():
            family = (row["method"], row["encoder"], row["task"], row["protocol"])
            families.setdefault(family, []).append(group)
        pairs: list[Place] = []
        for some in families.values():
            some.sort(key=lambda group: budget_order(groups[group]["label_budget"]))
            pairs += [(some[-1], smaller) for smaller in some[:-1]]
        return cls(layout, tuple(pairs), groups, keys, evidence.marks)

    def blank(self, place: Place) -> Entry:
        """Return an entry without a number; of a gap, the cells of both count."""
        rows = [self.groups[group] for group in place]
        return Entry(
            method=rows[0]["method"],
            encoder=rows[0]["encoder"],
            task=rows[0]["task"],
            protocol=rows[0]["protocol"],
            budget=" - ".join(row["label_budget"] for row in rows),
            done=sum(int(row["done"]) for row in rows),
            planned=sum(int(row["planned"]) for row in rows),
            keys=tuple(key for group in place for key in self.keys.get(group, ())),
            overlap=self.marks.get(
                (rows[0]["method"], rows[0]["encoder"], rows[0]["task"])
            ),
        )

    def estimate(self, entry: Entry, intervals: Intervals, row: int) -> Entry:
        """Return a blank entry with the numbers of one row of intervals."""
        if not intervals.cases[row]:
            return entry
        rule = RULES[int(intervals.rule[row])]
        return replace(
            entry,
            mean=float(intervals.mean[row]),
            low=None if rule == "none" else float(intervals.low[row]),
            high=None if rule == "none" else float(intervals.high[row]),
            rule=rule,
            poor=bool(doubtful(intervals.rule, intervals.seeds)[row]),
            cases=int(intervals.cases[row]),
            patients=int(intervals.patients[row]),
            seeds=int(intervals.seeds[row]),
        )


def of_cases(
    metric: CaseMetric,
    wanted: Wanted,
    evidence: Evidence,
    *,
    structure: Part = None,
) -> Found:
    """Return means over cases, or differences paired by case and seed.

    structure: of this one, or of these, instead of the mean over all.
    """
    found: Found = {}
    by_task: dict[str, list[Place]] = {}
    for place in wanted.places:
        by_task.setdefault(wanted.groups[place[0]]["task"], []).append(place)
    for task, stacked in evidence.stacked(metric, structure=structure).items():
        found.update(_of_task(stacked, task, wanted, by_task[task], evidence))
    return found


def _of_task(
    stacked: Stacked,
    task: str,
    wanted: Wanted,
    places: list[Place],
    evidence: Evidence,
) -> dict[Place, Entry]:
    at = {int(group): place for place, group in enumerate(stacked.groups)}
    mine = [place for place in places if all(group in at for group in place)]
    if not mine:
        return {}
    index = np.array([[at[group] for group in place] for place in mine])
    scores = stacked.scores.take(index[:, 0])
    if index.shape[1] == 2:
        scores = scores.minus(stacked.scores.take(index[:, 1]))
    intervals = evidence.intervals_of_cases(scores, task)
    found = {}
    for row, place in enumerate(mine):
        entry = wanted.estimate(wanted.blank(place), intervals, row)
        if not entry.cases:
            entry = replace(entry, reason="no structure of any case has a value")
        if len(place) == 1:
            own = index[row, 0]
            entry = replace(
                entry,
                misses=int(stacked.misses[own]),
                false_alarms=int(stacked.false_alarms[own]),
                failed=int(stacked.failed[own]),
            )
        found[place] = entry
    return found


def of_predictions(
    metric: Statistic, wanted: Wanted, evidence: Evidence, *, only: int | None = None
) -> Found:
    """Return means over seeds of a statistic, or differences between budgets.

    only: of the AUC, the class that is told from the rest.
    """
    level, choice = evidence.options.level, evidence.options.chosen.of_runs
    found: Found = {}
    drawn = evidence.drawn(metric, only=only)
    remarks = evidence.remarks(metric)
    of_group = {group: one for one in drawn.values() for group in one.draws}
    for place in wanted.places:
        said = "; ".join(remarks[group] for group in place if group in remarks)
        if said:
            found[place] = replace(wanted.blank(place), reason=said)
        source = of_group.get(place[0])
        if source is None or not all(group in source.draws for group in place):
            continue
        measure: Callable[..., Intervals | None]
        measure = source.interval if len(place) == 1 else source.gap
        intervals = measure(*place, level=level, choice=choice)
        blank = found.get(place) or wanted.blank(place)
        if intervals is None:
            absent = "undefined on these test cases, where a class is absent"
            found[place] = replace(blank, reason=blank.reason or absent)
        else:
            found[place] = wanted.estimate(blank, intervals, 0)
    return found
