"""Encoders of one method pretrained on two modalities, side by side on one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from ..analyse.contrast import CaseScores, TaskScores
from ..analyse.estimate import Estimate
from ..analyse.structures import stack_structures
from ..schema.errors import UserError
from ..schema.recipes import Recipe
from .evidence import Evidence
from .questions import scored_by
from .table import Measure

WHOLE = "all"


@dataclass(frozen=True)
class Twins:
    """Two entries that differ in their corpus alone, on a task of the first's modality.

    own: pretrained on the task's modality; cross: on others, `modality`.
    """

    task: str
    own: str
    cross: str
    modality: str


@dataclass(frozen=True)
class Crossed:
    """A structure's scores with both, and the difference, own minus cross.

    structure: WHOLE for the score over all structures or classes.
    """

    twins: Twins
    protocol: str
    label_budget: str
    encoder: str
    metric: Measure
    structure: str
    own: Estimate
    cross: Estimate
    difference: Estimate
    groups: tuple[int, int]


def twins(evidence: Evidence) -> list[Twins]:
    """Return all pairs of entries that a task can compare, in the order of the file."""
    cells, tasks = evidence.scope.cells, evidence.scope.tasks
    if "pretrained_on" not in cells or "recipe" not in cells:
        return []
    known = cells[["method", "recipe", "pretrained_on"]].dropna()
    alike: dict[tuple[str, str, float], list[tuple[str, str]]] = {}
    for method, text, modality in known.drop_duplicates("method").itertuples(
        index=False
    ):
        recipe = Recipe.parse(text)
        key = (recipe.objective, recipe.encoder, recipe.share)
        alike.setdefault(key, []).append((method, modality))
    return [
        Twins(task, own, cross, on)
        for task in dict.fromkeys(cells.task)
        for some in alike.values()
        for (own, first), (cross, on) in product(some, some)
        if first == tasks[task].modality and first not in on.split("+")
    ]


def crossed(evidence: Evidence) -> list[Crossed]:
    """Return scores in and across modality, paired by case, by each task's first metric.

    Raises UserError, which says what is missing, where there is nothing to compare.
    """
    pairs = twins(evidence)
    if not pairs:
        raise UserError(_lacking(evidence))
    found: list[Crossed] = []
    for metric in evidence.shown_metrics():
        own = [
            p for p in pairs if evidence.scope.tasks[p.task].metrics[:1] == (metric,)
        ]
        found += _by(metric, own, evidence) if own else []
    if not found:
        msg = "no two entries that differ in their corpus alone are published on a task"
        raise UserError(msg)
    return found


def _lacking(evidence: Evidence) -> str:
    cells, tasks = evidence.scope.cells, evidence.scope.tasks
    known = cells.get("pretrained_on")
    on = [] if known is None else sorted(set(known.dropna()))
    used = sorted({tasks[task].modality for task in cells.task})
    seen = f"pretrained on {', '.join(on)}" if on else "pretrained on nothing known"
    return (
        f"encoders here were {seen} and used on {', '.join(used)}: a comparison across "
        "modalities needs two entries of a method that differ in their corpus alone, one "
        "of a task's modality and one of another"
    )


def _by(metric: Measure, pairs: list[Twins], evidence: Evidence) -> Iterator[Crossed]:
    layout, level = evidence.layout(metric), evidence.options.level
    groups = {
        (row["task"], row["method"], row["protocol"], row["label_budget"]): (
            int(group), row["encoder"]
        )
        for group, row in layout.groups.to_dict("index").items()
    }  # fmt: skip
    for structure, scored in _scored(metric, pairs, evidence):
        for pair, (place, (group, encoder)) in product(pairs, groups.items()):
            task, method, protocol, budget = place
            other = groups.get((task, pair.cross, protocol, budget))
            if (task, method) != (pair.task, pair.own) or other is None:
                continue
            scores = scored.get(task)
            if scores is None:
                continue
            parts = [
                scores.contrast(weights, level=level)
                for weights in (
                    {group: 1.0}, {other[0]: 1.0}, {group: 1.0, other[0]: -1.0}
                )
            ]  # fmt: skip
            own, cross, difference = parts
            if own is not None and cross is not None and difference is not None:
                yield Crossed(
                    pair, protocol, budget, encoder, metric, structure, own, cross,
                    difference, (group, other[0]),
                )  # fmt: skip


def _scored(
    metric: Measure, pairs: list[Twins], evidence: Evidence
) -> Iterator[tuple[str, Mapping[str, TaskScores]]]:
    """Yield each structure of the tasks with its scores; the whole where there are none.

    A task of one structure has no row for the whole.
    """
    tasks = {pair.task: evidence.scope.tasks[pair.task] for pair in pairs}
    several = {name for name, facts in tasks.items() if len(facts.structures) != 1}
    whole = scored_by(metric, evidence)
    yield WHOLE, {name: scores for name, scores in whole.items() if name in several}
    if metric != "dice" and metric != "hd95":  # of runs: no structures
        return
    names = dict.fromkeys(n for facts in tasks.values() for n in facts.structures)
    rows = evidence.of_structures(metric, list(names))
    stacked = stack_structures(rows, evidence.layout(metric))
    for name in names:
        yield (
            name,
            {task: CaseScores(one) for task, one in stacked.get(name, {}).items()},
        )
