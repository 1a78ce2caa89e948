"""Sheets of intervals: the default beside those that account for less."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..analyse.classified import Drawn
from ..analyse.compare import stream
from ..analyse.intervals import Intervals, two_way
from ..analyse.resample import Resample, bootstrap
from ..analyse.scores import Stacked
from ..schema.style import Choice, Over
from . import captions
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value
from .table import DIGITS, NAMES, RANGES, Measure, budget_order

# name: what it accounts for and how it is made, as its column is headed.
_KINDS = {
    "default": "cases and seeds",
    "percentile": "percentile, both",
    "cases": "cases only",
    "bca": "cases only, BCa",
    "seeds": "seeds only",
}
_Bounds = Mapping[str, Intervals | None]


def intervals(metric: Measure, evidence: Evidence) -> Sheet:
    """Return several intervals of each mean. Raises UserError where nothing is shown."""
    layout = evidence.layout(metric)
    if metric == "dice" or metric == "hd95":
        found = {
            group: bounds
            for task, stacked in evidence.stacked(metric).items()
            for group, bounds in _of_cases(stacked, task, evidence).items()
        }
    else:
        found = {
            group: _of_runs(drawn, group, evidence.options.level)
            for drawn in evidence.drawn(metric).values()
            for group in drawn.draws
        }
    kinds = [k for k in _KINDS if any(k in bounds for bounds in found.values())]
    keys = evidence.keys_of_groups(metric)
    rows = []
    listed = layout.groups.to_dict("index")
    order = {task: place for place, task in enumerate(layout.groups.task.unique())}
    for group in sorted(
        map(int, listed),
        key=lambda g: (
            order[listed[g]["task"]],
            budget_order(listed[g]["label_budget"]),
        ),
    ):
        row = listed[group]
        heading = captions.heading(row["task"], evidence.scope.tasks[row["task"]])
        values: dict[str, Value] = {
            name: str(row[name])
            for name in ("task", "protocol", "label_budget", "method", "encoder")
        }
        values["block"] = f"{heading}, {row['protocol']}"
        for kind, one in found.get(group, {}).items():
            values |= _bounds(kind, one, metric)
        rows.append(Row(values, keys.get(group, ())))
    return Sheet(
        f"intervals-{metric}",
        f"{NAMES[metric]}: intervals by what they account for",
        _columns(metric, kinds),
        tuple(rows),
        _notes(evidence, kinds),
        split="block",
    )


def _of_cases(stacked: Stacked, task: str, evidence: Evidence) -> dict[int, _Bounds]:
    options, scores = evidence.options, stacked.scores
    resample = Resample.draw(
        scores.patient, scores.values.shape[2], stream(options.seed, task),
        draws=options.draws,
    )  # fmt: skip
    level = options.level
    each: dict[str, Intervals] = {
        "default": two_way(scores, level=level),
        "percentile": bootstrap(scores, resample, level=level),
        "cases": two_way(scores, level=level, over="cases"),
        "bca": bootstrap(scores, resample.only("cases"), level=level, kind="bca"),
        "seeds": two_way(scores, level=level, over="seeds"),
    }
    return {
        int(group): {kind: _row(found, place) for kind, found in each.items()}
        for place, group in enumerate(stacked.groups)
    }


def _row(found: Intervals, place: int) -> Intervals | None:
    """Return one group of intervals; None where it has no score."""
    if not found.cases[place]:
        return None
    if found.corrected is not None and not found.corrected[place]:
        return None  # BCa is not defined there, and the percentile has its own column
    at = slice(place, place + 1)
    return Intervals(
        found.mean[at], found.low[at], found.high[at], found.spread[at],
        found.rule[at], found.cases[at], found.patients[at], found.seeds[at],
    )  # fmt: skip


def _of_runs(drawn: Drawn, group: int, level: float) -> _Bounds:
    def one(over: Over, *, plain: bool) -> Intervals | None:
        kind: Choice = Choice(
            test="two-way",
            over=over,
            interval="percentile" if plain else "components",
        )
        return drawn.interval(group, level=level, choice=kind)

    return {
        "default": one("both", plain=False),
        "percentile": one("both", plain=True),
        "cases": one("cases", plain=False),
        "seeds": one("seeds", plain=False),
    }


def _bounds(kind: str, found: Intervals | None, metric: Measure) -> dict[str, Value]:
    if found is None:
        return {}
    values: dict[str, Value] = {kind: float(found.mean[0])}
    if found.rule[0]:
        floor, ceiling = RANGES[metric]
        low, high = np.clip([found.low[0], found.high[0]], floor, ceiling)
        values |= {f"{kind}_low": float(low), f"{kind}_high": float(high)}
    return values


def _columns(metric: Measure, kinds: list[str]) -> tuple[Column, ...]:
    digits = DIGITS[metric]
    columns = [
        Column("block", "block"),
        Column("label_budget", "labels"),
        Column("method", "method"),
        Column("encoder", "encoder"),
    ]
    for kind in kinds:
        bounds = (f"{kind}_low", f"{kind}_high")
        columns.append(Column(kind, _KINDS[kind], digits=digits, bounds=bounds))
        columns += [Column(name, name, digits=6, printed=False) for name in bounds]
    columns += [Column(name, name, printed=False) for name in ("task", "protocol")]
    return tuple(columns)


def _notes(evidence: Evidence, kinds: list[str]) -> tuple[str, ...]:
    options = evidence.options
    notes = [
        f"{options.level:.0%} intervals of the same means. Cases and seeds: the default, "
        "with a correction for few seeds.",
        f"Percentile: two-way bootstrap, {options.draws:,} draws, seed {options.seed}; it "
        "covers too rarely where seeds are few (docs/results/statistics.md), so it is "
        "shown and not relied on.",
        "Cases only take the seeds as given, seeds only the cases; neither says how sure "
        "the mean is of a method trained anew and tested on new patients.",
    ]
    if "bca" in kinds:
        notes.append("BCa: bias-corrected and accelerated, from 20 patients on.")
    return (*notes, *captions.of_tier(evidence.scope.cells), *evidence.scope.notes)
