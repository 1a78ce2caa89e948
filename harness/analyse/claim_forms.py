"""What one side of a claim amounts to: a linear form of the scores of groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..schema.budget import LabelBudget
from ..schema.claims import METRICS, Side
from .contrast import TaskScores
from .estimate import Estimate, shifted, weighted_sum
from .questions import Scored, rows_of
from .scores import Layout

# A metric, and a structure or class of it: the layout and the scores of each task, or
# None where it is not measured.
Source = Callable[[str, str | None], tuple[Layout, Scored] | None]
Site = tuple[str, str]  # task, protocol


class Unmeasured(Exception):
    """Why a side of a claim has no value here."""


@dataclass(frozen=True)
class Form:
    """constant + the sum of weight x score over groups, near the scores measured."""

    value: float
    constant: float = 0.0
    weights: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def scaled(self, factor: float) -> Form:
        """Return the form times a number."""
        weights = {at: factor * weight for at, weight in self.weights.items()}
        return Form(factor * self.value, factor * self.constant, weights)

    def plus(self, other: Form) -> Form:
        """Return the sum of two forms."""
        weights = dict(self.weights)
        for at, weight in other.weights.items():
            weights[at] = weights.get(at, 0.0) + weight
        return Form(self.value + other.value, self.constant + other.constant, weights)

    def estimated(self, scored: Scored, *, level: float) -> Estimate:
        """Return the value with its doubt: paired within tasks, independent across.

        Raises Unmeasured where groups of a task have no case or seed in common.
        """
        tasks: dict[str, dict[int, float]] = {}
        for (task, group), weight in self.weights.items():
            if abs(weight) > 1e-15:
                tasks.setdefault(task, {})[group] = weight
        parts = []
        for task, weights in tasks.items():
            part = scored[task].contrast(weights, level=level)
            if part is None:
                msg = f"nothing in common on {task}"
                raise Unmeasured(msg)
            parts.append(part)
        if not parts:
            return Estimate(self.value, self.value, self.value, 0.0, 1.0, 0, 0)
        whole = weighted_sum(parts, [1.0] * len(parts), level=level)
        # Pairing may leave fewer cases than the plain values: the paired one counts.
        return shifted(whole, self.constant)


@dataclass(frozen=True)
class Field:
    """Groups and scores of one metric, with what finds groups in them."""

    layout: Layout
    scored: Scored
    at: Mapping[tuple[str, str, str, str], int]
    encoders: Mapping[str, str]
    plain: frozenset[str]

    @classmethod
    def of(cls, layout: Layout, scored: Scored) -> Field:
        """Arrange a layout for looking up groups by name."""
        rows = rows_of(layout)
        return cls(
            layout,
            scored,
            {
                (r["task"], r["protocol"], r["label_budget"], r["method"]): group
                for group, r in rows.items()
            },
            {r["method"]: r["encoder"] for r in rows.values()},
            frozenset(r["method"] for r in rows.values() if not r["pretrained"]),
        )

    def sites(self, side: Side) -> list[Site]:
        """Return the tasks and protocols that a side speaks of."""
        tasks = {item.name for item in side.on if item.name not in METRICS}
        found = dict.fromkeys((task, protocol) for task, protocol, _, _ in self.at)
        return [
            (task, protocol)
            for task, protocol in found
            if (not tasks or task in tasks)
            and (not side.protocols or protocol in side.protocols)
        ]

    def budgets(self, site: Site, side: Side) -> list[str]:
        """Return the label budgets of a side at a site, rising.

        A gap without a budget is that of the smallest.
        """
        known = {b for task, protocol, b, _ in self.at if (task, protocol) == site}
        order = sorted(known, key=lambda text: LabelBudget.parse(text).order)
        if side.at:
            return [budget for budget in side.at if budget in known]
        return order[:1] if side.quantity.startswith("gap") else order

    def form(self, side: Side, site: Site, budget: str) -> Form | None:
        """Return a side's quantity at a site and budget, None where it has no value."""
        groups = [self._score(site, budget, name) for name in side.names]
        known = [one for one in groups if one is not None]
        if len(known) < len(groups) or not known:
            return None
        if side.quantity == "spread":
            return _spread(known)
        if side.quantity == "mean":
            return _mean(known)
        (one,) = known
        if side.quantity.startswith("gap"):
            order = self.budgets(site, Side("score", side.names))
            other = self._score(site, order[-1], side.names[0])
            if other is None or order[-1] == budget:
                return None
            first, second, base = other, one, other
        elif side.quantity.startswith("gain"):
            found = self._baseline(site, budget, side.names[0])
            if found is None:
                return None
            first, second, base = one, found, found
        else:
            return one
        apart = first.plus(second.scaled(-1.0))
        if side.quantity.endswith("percent"):
            return ratio(apart, base)
        return apart

    def _score(self, site: Site, budget: str, method: str) -> Form | None:
        group = self.at.get((*site, budget, method))
        scores: TaskScores | None = self.scored.get(site[0])
        value = None if group is None or scores is None else scores.value(group)
        if group is None or value is None:
            return None
        return Form(value, 0.0, {(site[0], group): 1.0})

    def _baseline(self, site: Site, budget: str, method: str) -> Form | None:
        same = [
            name for name in sorted(self.plain)
            if self.encoders[name] == self.encoders[method] and name != method
        ]  # fmt: skip
        return self._score(site, budget, same[0]) if len(same) == 1 else None


def ratio(top: Form, bottom: Form) -> Form | None:
    """Return 100 top / bottom, linear near its value; None where the bottom is 0."""
    if bottom.value == 0:
        return None
    value = 100 * top.value / bottom.value
    linear = top.scaled(100 / bottom.value).plus(bottom.scaled(-value / bottom.value))
    return Form(value, value - linear.value + linear.constant, linear.weights)


def _mean(forms: Sequence[Form]) -> Form:
    whole = forms[0]
    for more in forms[1:]:
        whole = whole.plus(more)
    return whole.scaled(1 / len(forms))


def _spread(forms: Sequence[Form]) -> Form | None:
    """Return the standard deviation over methods, linear near its value."""
    values = np.array([one.value for one in forms])
    if len(forms) < 2:
        return None
    sd = float(values.std(ddof=1))
    if sd == 0:
        return Form(0.0)
    slopes = (values - values.mean()) / ((len(values) - 1) * sd)
    whole = Form(0.0)
    for slope, one in zip(slopes.tolist(), forms, strict=True):
        whole = whole.plus(one.scaled(slope))
    return Form(sd, sd - whole.value + whole.constant, whole.weights)


def side_blocks(
    field: Field, left: Side, right: Side
) -> list[tuple[Form | None, Form | None]]:
    """Return both sides at every task, protocol and label budget of the claim.

    Where both speak of the same budgets they are matched one by one; where they differ
    each side is averaged over its own at every task and protocol, and where tasks or
    protocols differ too, over all of its own.
    """
    leading = left if left.number is None else right
    here = [field.sites(side) for side in (left, right) if side.number is None]
    if len(here) == 2 and here[0] != here[1]:
        return [(_average(field, left, here[0]), _average(field, right, here[1]))]
    rows = []
    for site in here[0]:
        if left.at == right.at or len(here) == 1:
            for budget in field.budgets(site, leading):
                rows.append(
                    (_at(field, left, site, budget), _at(field, right, site, budget))
                )
        else:
            rows.append((_average(field, left, [site]), _average(field, right, [site])))
    return rows


def _at(field: Field, side: Side, site: Site, budget: str) -> Form | None:
    if side.number is not None:
        return Form(side.number, side.number)
    found = field.form(side, site, budget)
    return None if found is None else found.plus(Form(side.offset, side.offset))


def _average(field: Field, side: Side, sites: Sequence[Site]) -> Form | None:
    forms = [
        _at(field, side, site, budget)
        for site in sites
        for budget in field.budgets(site, side)
    ]
    whole = Form(0.0)
    for form in forms:
        if form is None:
            return None
        whole = whole.plus(form.scaled(1 / len(forms)))
    return whole if forms else None
