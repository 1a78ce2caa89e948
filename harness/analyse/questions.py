"""The papers' questions about scores: gaps, gains, label efficiency.

All take the layout and the scores of each task (`contrast.task_scores`) and work for
metrics of cases and of runs. Groups without a score are left out of the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..schema.budget import LabelBudget
from ..schema.errors import UserError
from .compare import Pair, pair_groups
from .contrast import TaskScores, relative
from .estimate import Estimate, weighted_sum
from .scores import Layout

Scored = Mapping[str, TaskScores]


@dataclass(frozen=True)
class Place:
    """What an answer is about."""

    task: str
    protocol: str
    method: str
    encoder: str


@dataclass(frozen=True)
class Gap:
    """How much a method loses with few labels (METHODS 4.6); smaller is better.

    points: score with many minus score with few; percent: that of the score with many.
    """

    place: Place
    many: str
    few: str
    points: Estimate
    percent: Estimate | None


@dataclass(frozen=True)
class Gain:
    """A method against the baseline at one label budget: points and percent of it."""

    place: Place
    label_budget: str
    baseline: str
    points: Estimate
    percent: Estimate | None


@dataclass(frozen=True)
class Efficiency:
    """The smallest label budget at which a method matches a target.

    The target is the score of `target_method` with its largest budget. budget: the
    smallest at which the method's mean is no worse; earliest: the smallest at which it
    is not shown to be worse (the interval of the difference reaches 0); surely: the
    smallest at which it is shown to be no worse (the interval lies at or above 0). None
    where no budget does. differences: by budget, method minus target.
    """

    place: Place
    target_method: str
    target_budget: str
    budget: str | None
    earliest: str | None
    surely: str | None
    differences: Mapping[str, Estimate]


def rows_of(layout: Layout) -> dict[int, dict[str, Any]]:
    """Return the rows of the groups, by their place in the layout."""
    found = layout.groups.to_dict("index")
    return {int(group): dict(row) for group, row in found.items()}


def families(layout: Layout) -> Iterator[tuple[Place, dict[str, int]]]:
    """Yield each method on a task with a protocol, and its groups by label budget.

    Budgets rise: shots, then totals, then fractions.
    """
    found: dict[Place, dict[str, int]] = {}
    for group, row in rows_of(layout).items():
        place = Place(row["task"], row["protocol"], row["method"], row["encoder"])
        found.setdefault(place, {})[row["label_budget"]] = group
    for place, budgets in found.items():
        order = sorted(budgets, key=lambda text: LabelBudget.parse(text).order)
        yield place, {budget: budgets[budget] for budget in order}


def gaps(layout: Layout, scored: Scored, *, level: float = 0.95) -> list[Gap]:
    """Return the gap between each method's largest label budget and each smaller one."""
    found = []
    for place, budgets in families(layout):
        scores = scored.get(place.task)
        *smaller, largest = budgets
        for few in smaller if scores is not None else ():
            assert scores is not None
            many_group, few_group = budgets[largest], budgets[few]
            points = scores.contrast({many_group: 1.0, few_group: -1.0}, level=level)
            if points is not None:
                share = relative(scores, few_group, many_group, level=level)
                percent = None if share is None else share.times(-1.0)
                found.append(Gap(place, largest, few, points, percent))
    return found


def mean_gaps(found: Sequence[Gap], *, level: float = 0.95) -> list[Gap]:
    """Return each method's mean gap over tasks, per protocol and pair of budgets.

    Tasks are independent of each other, so their variances add up. Each answer's task
    is '*'. Only tasks that all methods have count, so that means are comparable.
    """
    kinds: dict[tuple[str, str, str], dict[tuple[str, str], dict[str, Gap]]] = {}
    for gap in found:
        kind = kinds.setdefault((gap.place.protocol, gap.many, gap.few), {})
        mine = kind.setdefault((gap.place.method, gap.place.encoder), {})
        mine[gap.place.task] = gap
    means = []
    for (protocol, many, few), methods in kinds.items():
        shared = set.intersection(*(set(mine) for mine in methods.values()))
        for (method, encoder), mine in methods.items() if shared else ():
            parts = [mine[task] for task in mine if task in shared]
            weights = [1 / len(parts)] * len(parts)
            percents = [part.percent for part in parts if part.percent is not None]
            means.append(
                Gap(
                    Place("*", protocol, method, encoder),
                    many,
                    few,
                    weighted_sum([p.points for p in parts], weights, level=level),
                    weighted_sum(percents, weights, level=level)
                    if len(percents) == len(parts)
                    else None,
                )
            )
    return means


def gains(
    layout: Layout,
    scored: Scored,
    *,
    baseline: str | None = None,
    level: float = 0.95,
) -> list[Gain]:
    """Return each method's gain over the baseline with its own encoder.

    Without a name the baseline is what has no pretraining. Raises UserError where there
    is none (`pair_groups`).
    """
    rows = rows_of(layout)
    found = []
    for group, base in pair_groups(layout, baseline):
        row = rows[group]
        scores = scored.get(row["task"])
        points = _difference(scores, (group, base), level)
        if scores is not None and points is not None:
            place = Place(row["task"], row["protocol"], row["method"], row["encoder"])
            percent = relative(scores, group, base, level=level)
            found.append(
                Gain(place, row["label_budget"], rows[base]["method"], points, percent)
            )
    return found


def _difference(scores: TaskScores | None, pair: Pair, level: float) -> Estimate | None:
    if scores is None:
        return None
    return scores.contrast({pair[0]: 1.0, pair[1]: -1.0}, level=level)


def label_efficiency(
    layout: Layout,
    scored: Scored,
    *,
    target: str | None = None,
    level: float = 0.95,
    lower_is_better: bool = False,
) -> list[Efficiency]:
    """Return how few labels let a method match another's score with all its labels.

    target: a method; without a name every other method is a target in turn. Raises
    UserError for an unknown one.
    """
    known = list(families(layout))
    methods = list(dict.fromkeys(place.method for place, _ in known))
    if target is not None and target not in methods:
        msg = f"{target!r} is not a method here: expected one of {', '.join(methods)}"
        raise UserError(msg)
    sign = -1.0 if lower_is_better else 1.0
    found = []
    for place, budgets in known:
        for other, others in known:
            same = (place.task, place.protocol) == (other.task, other.protocol)
            if not same or other.method == place.method:
                continue
            if target in (None, other.method):
                full = list(others)[-1]
                scores = scored.get(place.task)
                differences = {
                    budget: apart.times(sign)
                    for budget, group in budgets.items()
                    if (apart := _difference(scores, (group, others[full]), level))
                }
                if differences:
                    found.append(_efficiency(place, other.method, full, differences))
    return found


def _efficiency(
    place: Place, method: str, full: str, differences: Mapping[str, Estimate]
) -> Efficiency:
    def first(bound: str) -> str | None:
        for budget, apart in differences.items():
            value = getattr(apart, bound)
            if value is not None and value >= 0:
                return budget
        return None

    return Efficiency(
        place, method, full, first("value"), first("high"), first("low"), differences
    )
