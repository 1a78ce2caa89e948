"""The sheet of validation beside test: how optimistic what was chosen on is."""

from __future__ import annotations

from ..analyse.optimism import Bounded, Optimism, optimism
from ..schema.errors import UserError
from . import captions
from .evidence import Evidence
from .sheet import Column, Row, Sheet, Value
from .spread import kappa_weights
from .table import DIGITS, NAMES, Measure

_SIDES = ("validation", "test", "difference")


def sheet(metric: Measure, evidence: Evidence) -> Sheet:
    """Return the metric on validation and on test cases, and their difference.

    A row per method, task, protocol and label budget. Raises UserError where no task
    has the metric or nothing is published, and for metrics of segmentations.
    """
    if metric == "dice" or metric == "hd95":
        msg = "the validation cases of segmentations are not kept, only their mean"
        raise UserError(msg)
    options, layout = evidence.options, evidence.layout(metric)
    found = optimism(
        evidence.predictions(metric, "val"), evidence.predictions(metric, "test"),
        layout, metric, kappa_weights=kappa_weights(evidence.scope),
        choice=options.chosen.of_runs, level=options.level, seed=options.seed,
        draws=options.draws,
    )  # fmt: skip
    keys = evidence.keys_of_groups(metric)
    rows = []
    for group, about in layout.groups.iterrows():
        place = int(str(group))
        if place not in found:
            continue
        facts = evidence.scope.tasks[about.task]
        who = {
            "block": f"{captions.heading(about.task, facts)}, {about.protocol}",
            "task": about.task, "protocol": about.protocol, "encoder": about.encoder,
            "method": about.method, "label_budget": about.label_budget,
        }  # fmt: skip
        rows.append(Row({**who, **_values(found[place])}, keys.get(place, ())))
    notes = (
        f"{NAMES[metric]} on the validation cases, which learning rates, steps and points "
        "of grids are chosen on, beside that on test cases, which nothing is chosen on; "
        "means over seeds. The difference is what validation looks too good by, with a "
        f"{options.level:.0%} interval over the patients of both sides, resampled apart, "
        f"and over seeds ({options.draws:,} draws, seed {options.seed}). '-': undefined, "
        "for a class is absent or there are no validation cases.",
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    title = f"{NAMES[metric]}: validation beside test"
    return Sheet(
        f"val-test-{metric}", title, _columns(metric), tuple(rows), notes, split="block"
    )


def _values(found: Optimism) -> dict[str, Value]:
    values: dict[str, Value] = {
        "validation_cases": found.cases[0], "test_cases": found.cases[1],
        "seeds": found.seeds,
    }  # fmt: skip
    for name in _SIDES:
        one: Bounded | None = getattr(found, name)
        values[name] = None if one is None else one.value
        values[f"{name}_low"] = None if one is None else one.low
        values[f"{name}_high"] = None if one is None else one.high
    return values


def _columns(metric: Measure) -> tuple[Column, ...]:
    numbers = [
        Column(
            name, name.replace("difference", "validation - test"), digits=DIGITS[metric],
            signed=name == "difference", missing="-",
            bounds=(f"{name}_low", f"{name}_high"),
        )
        for name in _SIDES
    ]  # fmt: skip
    return (
        Column("block", "block"),
        Column("method", "method"),
        Column("label_budget", "labels"),
        *numbers,
        Column("validation_cases", "validation cases"),
        Column("test_cases", "test cases"),
        Column("seeds", "seeds"),
        *(
            Column(name, name, digits=6, printed=False)
            for name in (
                "task", "protocol", "encoder",
                *(f"{side}_{end}" for side in _SIDES for end in ("low", "high")),
            )
        ),
    )  # fmt: skip
