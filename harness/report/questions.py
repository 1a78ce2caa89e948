"""Sheets of the papers' questions: gains, gaps in percent, how few labels are enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..analyse.contrast import task_scores
from ..analyse.estimate import Estimate
from ..analyse.questions import (
    Gap,
    Place,
    Scored,
    gains,
    gaps,
    label_efficiency,
    mean_gaps,
)
from ..schema.errors import UserError
from . import captions
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value
from .table import DIGITS, LOWER_IS_BETTER, NAMES, Measure

_ALL = "mean over tasks"


def gain(metric: Measure, evidence: Evidence) -> Sheet:
    """Return each method's gain over its encoder without pretraining.

    Raises UserError where nothing is published or there is no baseline.
    """
    options, keys = evidence.options, Keys(metric, evidence)
    found = gains(
        evidence.layout(metric), scored_by(metric, evidence),
        baseline=options.baseline, level=options.level,
    )  # fmt: skip
    rows = tuple(
        Row(
            _where(one.place, evidence)
            | {"label_budget": one.label_budget, "other": one.baseline}
            | _both(one.points, one.percent),
            keys.of(one.place, one.label_budget, one.baseline),
        )
        for one in found
    )
    return _sheet(
        f"gain-{metric}", f"{NAMES[metric]}: gain over the baseline", metric, evidence,
        (Column("label_budget", "labels"), Column("other", "over")), rows,
        "Gain: method minus the baseline of the same encoder, paired by case and seed; "
        "in percent of the baseline.",
    )  # fmt: skip


def gap_percent(metric: Measure, evidence: Evidence) -> Sheet:
    """Return what each method loses with fewer labels, in points and in percent.

    Raises UserError where nothing is published or there is one label budget only.
    """
    level, keys = evidence.options.level, Keys(metric, evidence)
    found = gaps(evidence.layout(metric), scored_by(metric, evidence), level=level)
    several = len({one.place.task for one in found}) > 1
    every = [*found, *(mean_gaps(found, level=level) if several else ())]
    rows = tuple(
        Row(_gap(one, evidence), keys.of(one.place, one.many, None, one.few))
        for one in every
    )
    return _sheet(
        f"gap-percent-{metric}", f"{NAMES[metric]}: few against many labels", metric,
        evidence, (Column("many", "labels"), Column("few", "against")), rows,
        "Gap: score with the most labels minus score with fewer, paired by case and "
        "seed; in percent of the former. Means over tasks count those that all methods "
        "have, alike.",
    )  # fmt: skip


def _gap(one: Gap, evidence: Evidence) -> dict[str, Value]:
    place = _where(one.place, evidence)
    return place | {"many": one.many, "few": one.few} | _both(one.points, one.percent)


def efficiency(metric: Measure, evidence: Evidence) -> Sheet:
    """Return the fewest labels with which a method matches the baseline with the most.

    Without a baseline every other method is a target. Raises UserError where nothing is
    published or there are no two methods to compare.
    """
    options, keys = evidence.options, Keys(metric, evidence)
    layout, scored = evidence.layout(metric), scored_by(metric, evidence)
    plain = layout.groups.method[~layout.groups.pretrained].unique().tolist()
    targets = [options.baseline] if options.baseline else plain or [None]
    found = [
        one
        for target in targets
        for one in label_efficiency(
            layout, scored, target=target, level=options.level,
            lower_is_better=metric in LOWER_IS_BETTER,
        )
    ]  # fmt: skip
    rows = tuple(
        Row(
            _where(one.place, evidence)
            | {
                "target": one.target_method, "target_budget": one.target_budget,
                "budget": one.budget, "earliest": one.earliest, "surely": one.surely,
            },
            keys.of(one.place, one.target_budget, one.target_method, *one.differences),
        )
        for one in found
    )  # fmt: skip
    columns = (
        Column("target", "matches"),
        Column("target_budget", "with"),
        Column("budget", "from", missing="none"),
        Column("earliest", "not shown worse from", missing="none"),
        Column("surely", "shown no worse from", missing="none"),
    )
    return _sheet(
        f"efficiency-{metric}", f"{NAMES[metric]}: how few labels are enough", metric,
        evidence, columns, rows,
        "The smallest label budget at which a method's mean is no worse than that of "
        f"another with the most labels; then by the {options.level:.0%} interval of the "
        "difference: not shown worse where it reaches 0, shown no worse where it lies "
        "at or above 0.",
        numbers=False,
    )  # fmt: skip


class Keys:
    """Finds the evaluations behind an answer."""

    def __init__(self, metric: Measure, evidence: Evidence) -> None:
        self.keys = evidence.keys_of_groups(metric)
        rows = evidence.layout(metric).groups.to_dict("index")
        self.groups = {
            (r["task"], r["protocol"], r["label_budget"], r["method"]): int(group)
            for group, r in rows.items()
        }

    def of(
        self, place: Place, budget: str, other: str | None, *budgets: str
    ) -> tuple[str, ...]:
        """Return those of a method at budgets, and of another method at the first.

        A mean over tasks (task '*') rests on those of every task.
        """
        wanted = {(budget, place.method), *((few, place.method) for few in budgets)}
        wanted |= {(budget, other)} if other is not None else set()
        return tuple(
            key
            for (task, protocol, label, method), group in self.groups.items()
            if place.task in (task, "*") and protocol == place.protocol
            if (label, method) in wanted
            for key in self.keys.get(group, ())
        )


def scored_by(metric: Measure, evidence: Evidence) -> Scored:
    """Return the scores of each task, of cases or of runs."""
    if metric == "dice" or metric == "hd95":
        return task_scores(evidence.stacked(metric))
    return task_scores(drawn=evidence.drawn(metric))


def _where(place: Place, evidence: Evidence) -> dict[str, Value]:
    heading = (
        _ALL
        if place.task == "*"
        else captions.heading(place.task, evidence.scope.tasks[place.task])
    )
    return {
        "block": f"{heading}, {place.protocol}", "task": place.task,
        "protocol": place.protocol, "method": place.method, "encoder": place.encoder,
    }  # fmt: skip


def _both(points: Estimate, percent: Estimate | None) -> dict[str, Value]:
    parts: Mapping[str, Estimate | None] = {"points": points, "percent": percent}
    return {
        f"{name}{end}": None if one is None else getattr(one, field)
        for name, one in parts.items()
        for end, field in (("", "value"), ("_low", "low"), ("_high", "high"))
    } | {"cases": points.cases, "seeds": points.seeds}


def _sheet(
    name: str,
    title: str,
    metric: Measure,
    evidence: Evidence,
    columns: Iterable[Column],
    rows: tuple[Row, ...],
    note: str,
    *,
    numbers: bool = True,
) -> Sheet:
    if not rows:
        msg = f"{title}: nothing to compare is published yet"
        raise UserError(msg)
    level = evidence.options.level
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    measured = (
        Column(
            "points", f"difference [{level:.0%} interval]", digits=DIGITS[metric],
            signed=True, bounds=("points_low", "points_high"),
        ),
        Column(
            "percent", "in percent", digits=1, signed=True,
            bounds=("percent_low", "percent_high"),
        ),
        Column("cases", "cases"),
        Column("seeds", "seeds"),
        *(
            Column(each, each, digits=6, printed=False)
            for each in ("points_low", "points_high", "percent_low", "percent_high")
        ),
    )  # fmt: skip
    shown = (
        Column("block", "block"),
        Column("method", "method"),
        *columns,
        *(measured if numbers else ()),
        *(Column(e, e, printed=False) for e in ("task", "protocol", "encoder")),
    )
    notes = (
        f"{NAMES[metric]}, {better} is better. {note}",
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    return Sheet(name, title, shown, rows, notes, split="block")
