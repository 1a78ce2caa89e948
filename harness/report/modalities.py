"""Encoders of one method pretrained on two modalities, side by side on one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import pandas as pd

from ..analyse.contrast import CaseScores, TaskScores
from ..analyse.estimate import Estimate, Limits, clipped, of_difference, over_runs
from ..analyse.structures import stack_structures
from ..schema.errors import UserError
from ..schema.identity import short
from ..schema.recipes import Recipe
from .alignment import LIMITS, PAIR, layer_order
from .evidence import Evidence
from .questions import scored_by
from .table import RANGES, Measure, budget_order

WHOLE = "all"
REUSE: Literal["reuse"] = "reuse"  # CKA before and after fine-tuning, for a metric
_RUN = ["analysis", "protocol", "label_budget", "structure", "seed", "fold"]


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

    structure: WHOLE for the score over all structures or classes; of REUSE a stage of
    the encoder; analysis: which entry measured reuse, '' where it is the only one; keys:
    folder names of the evaluations.
    """

    twins: Twins
    protocol: str
    label_budget: str
    encoder: str
    metric: Measure | Literal["reuse"]
    structure: str
    own: Estimate
    cross: Estimate
    difference: Estimate
    keys: tuple[str, ...]
    analysis: str = ""


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


def reused(evidence: Evidence) -> list[Crossed]:
    """Return how much of each stage fine-tuning leaves, in and across modality.

    The mean over the layers of a stage, paired by run. Raises UserError where no reuse
    of two entries is published that can be compared.
    """
    rows = evidence.features.rows("reuse")
    own = rows[~rows.layer.str.contains(PAIR, regex=False) & (rows.quantity == "cka")]
    own = own[~own.layer.str.startswith("decoder")].dropna(subset="value")
    own = own.assign(structure=own.layer.str.partition(".")[0])
    named = own.analysis.nunique() > 1
    found = []
    for pair in twins(evidence):
        of_task = own[own.task == pair.task]
        sides = [of_task[of_task.method == one] for one in (pair.own, pair.cross)]
        found += _reused(pair, sides, evidence.options.level, named=named)
    if not found:
        msg = (
            "no reuse of two entries that differ in their corpus alone is published on a "
            "task of the modality of one of them"
        )
        raise UserError(msg)
    return found


def _reused(
    pair: Twins, sides: list[pd.DataFrame], level: float, *, named: bool
) -> list[Crossed]:
    """Return the stages of two entries in the order of the encoder, budget by budget."""
    means = [side.groupby(_RUN).value.mean() for side in sides]
    both = means[0].to_frame("own").join(means[1].rename("cross"), how="inner")
    found = []
    for place, some in both.groupby(level=_RUN[:4]):
        analysis, protocol, budget, stage = map(str, place)
        here = [
            side[(side.analysis == analysis) & (side.protocol == protocol)
                 & (side.label_budget == budget)]
            for side in sides
        ]  # fmt: skip
        one, other, apart = (
            over_runs(list(values), level=level)
            for values in (some.own, some.cross, some.own - some.cross)
        )
        found.append(
            Crossed(
                pair, protocol, budget, str(here[0].encoder.iloc[0]), REUSE, stage,
                clipped(one, LIMITS), clipped(other, LIMITS), apart,
                tuple(short(key) for side in here for key in side.evaluate_key.unique()),
                analysis if named else "",
            )
        )  # fmt: skip
    found.sort(
        key=lambda one: (
            one.analysis, one.protocol, budget_order(one.label_budget),
            layer_order(one.structure),
        )
    )  # fmt: skip
    return found


def _by(metric: Measure, pairs: list[Twins], evidence: Evidence) -> Iterator[Crossed]:
    layout, level = evidence.layout(metric), evidence.options.level
    keys, limits = evidence.keys_of_groups(metric), RANGES[metric]
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
            parts = list(_contrasts(scores, group, other[0], level, limits))
            if len(parts) == 3:
                mine, theirs, apart = parts
                behind = (*keys.get(group, ()), *keys.get(other[0], ()))
                yield Crossed(
                    pair, protocol, budget, encoder, metric, structure, mine, theirs,
                    apart, behind,
                )  # fmt: skip


def _contrasts(
    scores: TaskScores, group: int, other: int, level: float, limits: Limits
) -> Iterator[Estimate]:
    """Yield both means and their difference, those that there are."""
    for weights, ends in (
        ({group: 1.0}, limits), ({other: 1.0}, limits),
        ({group: 1.0, other: -1.0}, of_difference(limits)),
    ):  # fmt: skip
        found = scores.contrast(weights, level=level)
        if found is not None:
            yield clipped(found, ends)


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
