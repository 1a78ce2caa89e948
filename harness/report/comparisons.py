"""Sheets of tests: each method against the baseline, and all pairs of methods."""

from __future__ import annotations

import math

from ..analyse.compare import Comparison, Effect, Pairs, shown_p
from ..schema.errors import UserError
from ..schema.style import SENTENCES, Style
from . import captions
from .evidence import CASE_METRICS, Evidence
from .sheet import Column, Row, Sheet, Value
from .table import DIGITS, LOWER_IS_BETTER, NAMES, Measure

_EFFECTS = {
    "median_difference": "median difference over patients",
    "rank_biserial": "rank-biserial correlation",
    "improvement": "probability of improvement",
    "hedges_g": "Hedges' g over seeds",
    "cliffs_delta": "Cliff's delta over seeds",
}


def against_baseline(metric: Measure, evidence: Evidence) -> Sheet:
    """Return each method against the baseline: difference, test and effect sizes.

    Raises UserError where nothing is published or there is no baseline.
    """
    return _sheet(f"tests-{metric}", metric, evidence, "baseline")


def all_pairs(metric: Measure, evidence: Evidence) -> Sheet:
    """Return all pairs of methods. Raises UserError where nothing is published."""
    return _sheet(f"comparison-{metric}", metric, evidence, "all")


def _sheet(name: str, metric: Measure, evidence: Evidence, pairs: Pairs) -> Sheet:
    found = evidence.comparisons(metric, pairs)
    if not found:
        msg = "a comparison needs two methods of one task, protocol and label budget"
        raise UserError(msg)
    chosen = evidence.options.chosen
    keys = evidence.keys_of_groups(metric)
    effects = [one for one in _EFFECTS if any(one in each.effects for each in found)]
    rows = tuple(
        Row(
            _values(each, evidence, effects),
            (*keys.get(each.group, ()), *keys.get(each.other, ())),
            marked=each.confirmed,
        )
        for each in found
    )
    against = "against the baseline" if pairs == "baseline" else "all pairs"
    return Sheet(
        name,
        f"{NAMES[metric]}: differences between methods, {against}",
        _columns(metric, evidence, effects),
        rows,
        _notes(metric, evidence, found, chosen),
        split="block",
    )


def _columns(
    metric: Measure, evidence: Evidence, effects: list[str]
) -> tuple[Column, ...]:
    level, digits = evidence.options.level, DIGITS[metric]
    data = [
        Column(name, name, digits=6, printed=False)
        for name in (
            "task", "protocol", "encoder", "other_encoder", "low", "high", "test",
            "unit", "n", "cases", "seeds", "p", "adjusted", "floor", "reason",
            "significant", "both_p", "both_adjusted", "confirmed", "separable", "family",
            "family_size", "needed_patients", "needed_seeds",
        )
    ]  # fmt: skip
    shown = [
        Column("block", "block"),
        Column("label_budget", "labels"),
        Column("method", "method"),
        Column("other", "against"),
        Column(
            "difference", f"difference [{level:.0%} interval]", digits=digits,
            signed=True, bounds=("low", "high"),
        ),
        Column("verdict", "adjusted p"),
        Column(
            "both_adjusted", "with cases and seeds", small=0.001, missing="undefined"
        ),
        Column("both", "the same, over cases and seeds"),
    ]  # fmt: skip
    for effect in effects:
        bounds = (f"{effect}_low", f"{effect}_high")
        own = digits if effect == "median_difference" else 2
        signed = effect != "improvement"
        head = _EFFECTS[effect]
        # One effect size is printed; the others stand in CSV and JSON.
        printed = effect == ("rank_biserial" if "rank_biserial" in effects else effect)
        printed = printed and effect != "cliffs_delta"
        shown.append(
            Column(
                effect, head, digits=own, signed=signed, bounds=bounds, printed=printed
            )
        )
        data += [Column(bound, bound, digits=6, printed=False) for bound in bounds]
    shown.append(Column("detectable", "detectable (80% power)", digits=digits))
    return (*shown, *data)


def _values(
    each: Comparison, evidence: Evidence, effects: list[str]
) -> dict[str, Value]:
    heading = captions.heading(each.task, evidence.scope.tasks[each.task])
    values: dict[str, Value] = {
        "block": f"{heading}, {each.protocol}",
        "verdict": shown_p(each.adjusted)
        if each.adjusted is not None
        else each.sentence,
        "both": None if each.both_adjusted is None else shown_p(each.both_adjusted),
        "method": each.method,
        "other": each.other_method,
        "detectable": _finite(each.detectable),
        "needed_patients": each.needed.patients if each.needed else None,
        "needed_seeds": each.needed.seeds if each.needed else None,
    }
    for name in (
        "task", "protocol", "label_budget", "encoder", "other_encoder", "difference",
        "low", "high", "test", "unit", "n", "cases", "seeds", "p", "adjusted", "floor",
        "reason", "significant", "both_p", "both_adjusted", "confirmed", "separable",
        "family", "family_size",
    ):  # fmt: skip
        values[name] = getattr(each, name)
    for name in effects:
        effect: Effect | None = each.effects.get(name)
        values[name] = effect.value if effect else None
        values[f"{name}_low"] = effect.low if effect else None
        values[f"{name}_high"] = effect.high if effect else None
    return values


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _notes(
    metric: Measure, evidence: Evidence, found: list[Comparison], chosen: Style
) -> tuple[str, ...]:
    options = evidence.options
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    choice = chosen.of_cases if metric in CASE_METRICS else chosen.of_runs
    sizes = sorted({each.family_size for each in found if each.family_size})
    family = {
        "table": "all comparisons of this table",
        "budget": "the comparisons of a protocol and label budget",
        "block": "the comparisons of a task, protocol and label budget",
    }[chosen.family]
    correction = captions.CORRECTIONS[chosen.correction]
    notes = [
        f"{NAMES[metric]}, {better} is better. Differences are method minus the other, "
        "paired by case and seed.",
        f"Test: {SENTENCES[choice.test]}; two-sided, {correction} over "
        f"{family}{f' ({_listed(sizes)})' if sizes else ''}.",
        "With cases and seeds: adjusted p of the t-test of the same difference with the "
        "variance of both, which says whether it holds for other seeds and patients. "
        f"Marked: both are at most {options.alpha:g}.",
        "Over cases and seeds: t-test of the difference with the variance of both, same "
        "correction. A test over cases alone takes the seeds as given and finds too much "
        "where they vary: only what both find may be expected of other seeds.",
        "Tests that are undefined or cannot reach alpha are not counted in a family.",
    ]
    if chosen.name != "default":
        notes.append(f"Style {chosen.name}.")
    if any(each.detectable is not None for each in found):
        notes.append(
            "Detectable: the smallest true difference found with 80% power at this alpha "
            "with these cases and seeds, before correction."
        )
    if metric == "dice" or metric == "hd95":
        notes.append(evidence.policy(metric).sentence)
    missing = sum(each.reason == "missing" for each in found)
    if missing:
        notes.append(f"{missing} of {len(found)} comparisons lack published cells.")
    return (*notes, *captions.of_tier(evidence.scope.cells), *evidence.scope.notes)


def _listed(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return f"{sizes[0]:,} tests"
    return f"{sizes[0]:,} to {sizes[-1]:,} tests"
