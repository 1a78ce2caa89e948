"""Sheets of score against size: of the corpus, and of the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..analyse.trends import Trend, trends
from ..schema.errors import UserError
from ..schema.recipes import Recipe
from . import captions
from .evidence import Evidence
from .questions import scored_by
from .sheet import Column, Row, Sheet, Value
from .table import DIGITS, LOWER_IS_BETTER, NAMES, Measure

Axis = Literal["corpus", "encoder"]
_ALL = "all methods"


@dataclass(frozen=True)
class Sizes:
    """Sizes of methods along an axis, above 0, and whose curve each is part of.

    families: by method, the first one of the benchmark file that differs from it in this
    size alone; only of families with two sizes or more.
    """

    of: Mapping[str, float]
    families: Mapping[str, str]


def sizes_of(evidence: Evidence, axis: Axis) -> Sizes:
    """Return the cases that methods were pretrained on, or their encoders' parameters."""
    sizes = pretraining_cases(evidence) if axis == "corpus" else _parameters(evidence)
    cells = evidence.scope.cells
    known = cells.get("recipe")
    if known is None:
        return Sizes(sizes, {})
    own = cells.assign(recipe=known)[["method", "encoder", "recipe"]].dropna()
    grouped: dict[tuple[object, ...], list[str]] = {}
    for method, kind, text in own.drop_duplicates("method").itertuples(index=False):
        if method in sizes:
            recipe = Recipe.parse(text)
            same = recipe.encoder if axis == "corpus" else recipe.share
            # Encoders of different kinds are no two sizes of one.
            key = (recipe.objective, recipe.corpus, same, kind)
            grouped.setdefault(key, []).append(method)
    families = {
        method: _head(some, sizes)
        for some in grouped.values()
        if len({sizes[each] for each in some}) > 1
        for method in some
    }
    return Sizes(sizes, families)


def _head(methods: list[str], sizes: Mapping[str, float]) -> str:
    """Return the name of a family: its shortest name, such as that of the whole corpus."""
    return min(methods, key=lambda each: (len(each), -sizes[each]))


def pretraining_cases(evidence: Evidence) -> dict[str, float]:
    """Return how many cases each pretrained method was pretrained on, where noted."""
    return _noted(evidence, "n_train", by="pretraining_key")


def _parameters(evidence: Evidence) -> dict[str, float]:
    """Return how many parameters each method's encoder has, where noted."""
    return _noted(evidence, "encoder_params", by="adapt_key")


def _noted(evidence: Evidence, quantity: str, *, by: str) -> dict[str, float]:
    """Return the largest that nodes of each method note; by: column of their keys."""
    noted = evidence.measured.set_index("key")[quantity].dropna()
    cells = evidence.scope.cells
    own = cells[cells[by].isin(noted[noted > 0].index)]
    sizes = own[by].map(noted).groupby(own.method).max()
    return {str(method): float(size) for method, size in sizes.items()}


_UNIT = {"corpus": "cases of its pretraining", "encoder": "parameters of its encoder"}
_LACKING = {
    "corpus": "all methods were pretrained on equally many cases (or it was not noted): a "
    "trend needs corpora of two sizes",
    "encoder": "all encoders have equally many parameters (or it was not noted): a trend "
    "needs encoders of two sizes",
}


def possible(axis: Axis, evidence: Evidence) -> bool:
    """Tell whether there are two sizes: for encoders, of one method."""
    sizes = sizes_of(evidence, axis)
    return bool(sizes.families) or (
        axis == "corpus" and len(set(sizes.of.values())) > 1
    )


def _sheet(axis: Axis, metric: Measure, evidence: Evidence) -> Sheet:
    layout, level = evidence.layout(metric), evidence.options.level
    sizes, scored = sizes_of(evidence, axis), scored_by(metric, evidence)
    found = trends(layout, scored, sizes.of, sizes.families, level=level)
    if len(set(sizes.families.values())) != 1:
        found += trends(layout, scored, sizes.of, level=level)
    if not found:
        raise UserError(_LACKING[axis])
    keys = evidence.keys_of_groups(metric)
    rows = []
    for one in found:
        groups = layout.groups
        mine = groups[
            (groups.task == one.task)
            & (groups.protocol == one.protocol)
            & (groups.label_budget == one.label_budget)
            & groups.method.isin(one.methods)
        ]
        behind = tuple(key for group in mine.index for key in keys.get(int(group), ()))
        rows.append(Row(_values(one, metric, evidence), behind))
    rows.sort(key=lambda row: str(row.values["block"]))
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    notes = (
        f"{NAMES[metric]}, {better} is better. Slope of a straight line over log2 of the "
        f"{_UNIT[axis]}, paired by case and seed, with its {level:.0%} interval. A "
        f"method's own line goes through entries that differ in nothing else; that of "
        f"{_ALL} has in it what else differs between them.",
        *captions.of_pretraining(layout),
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    name = "trend" if axis == "corpus" else "model-size"
    title = f"{NAMES[metric]} and the size of the {axis}"
    columns = _columns(axis, metric)
    return Sheet(f"{name}-{metric}", title, columns, tuple(rows), notes, split="block")


def _values(one: Trend, metric: Measure, evidence: Evidence) -> dict[str, Value]:
    slope, digits = one.per_doubling, DIGITS[metric]
    heading = captions.heading(one.task, evidence.scope.tasks[one.task])
    steps = zip(one.methods, one.sizes, one.scores, strict=True)
    return {
        "block": f"{heading}, {one.protocol}",
        "task": one.task, "protocol": one.protocol, "label_budget": one.label_budget,
        "method": one.family or _ALL,
        "curve": "; ".join(f"{m} {n:,.0f}: {v:.{digits}f}" for m, n, v in steps),
        "slope": slope.value, "slope_low": slope.low, "slope_high": slope.high,
        "cases": slope.cases, "seeds": slope.seeds,
    }  # fmt: skip


def _columns(axis: Axis, metric: Measure) -> tuple[Column, ...]:
    hidden = ("task", "protocol", "slope_low", "slope_high")
    return (
        Column("block", "block"),
        Column("label_budget", "labels"),
        Column("method", "line of"),
        Column("curve", f"method, {_UNIT[axis]}: score"),
        Column(
            "slope", "per doubling", digits=DIGITS[metric] + 1, signed=True,
            bounds=("slope_low", "slope_high"),
        ),
        *(Column(n, n) for n in ("cases", "seeds")),
        *(Column(n, n, digits=6, printed=False) for n in hidden),
    )  # fmt: skip


trend = partial(_sheet, "corpus")
model_size = partial(_sheet, "encoder")
