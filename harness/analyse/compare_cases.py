"""Comparisons of metrics that have a value per case (Dice, HD95)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..schema.style import Style, Test, Zeros, style
from .compare import (
    Comparison,
    Effect,
    Pair,
    Pairs,
    Tested,
    blanks,
    by_task,
    corrected,
    pair_groups,
    stream,
)
from .effects import paired_effects
from .intervals import NONE, Bools, Floats, Intervals, Ints, Scores, t_test, two_way
from .paired import paired_t, sign_flip, unit_means
from .power import Needed, detectable, needed
from .resample import Resample, case_intervals
from .scores import Layout, Stacked
from .signed_rank import signed_rank
from .unpaired import Effects, Samples, cliffs_delta, hedges_g, split_test, welch


def compare_cases(
    stacked: Mapping[str, Stacked],
    layout: Layout,
    *,
    baseline: str | None = None,
    pairs: Pairs = "baseline",
    choices: Style | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
    effects: bool = True,
    lower_is_better: bool = False,
) -> list[Comparison]:
    """Compare every method with the baseline, or all pairs of methods.

    choices: the style, by default the house's. effects: also effect sizes, what can be
    detected and what is needed, which cost draws. lower_is_better: turns `improvement`
    round; differences and other effects keep the sign of method minus other. Raises
    UserError as `pair_groups`, which says what the pairs are.
    """
    choices = choices or style()
    listed = pair_groups(layout, baseline, pairs=pairs)
    found = blanks(layout, listed, choices.of_cases.test, alpha)
    for task, mine in by_task(layout, listed).items():
        if task in stacked:
            done = _of_task(
                stacked[task], mine, choices,
                level=level, rng=stream(seed, task), alpha=alpha, effects=effects,
                sign=-1.0 if lower_is_better else 1.0,
            )  # fmt: skip
            for pair, changes in done.items():
                found[pair] = replace(found[pair], **changes)
    return corrected(found.values(), choices)


def _of_task(
    stacked: Stacked,
    pairs: Sequence[Pair],
    choices: Style,
    *,
    level: float,
    alpha: float,
    rng: np.random.Generator,
    effects: bool,
    sign: float,
) -> dict[Pair, dict[str, Any]]:
    at = {int(group): place for place, group in enumerate(stacked.groups)}
    mine = [pair for pair in pairs if pair[0] in at and pair[1] in at]
    if not mine:
        return {}
    index = np.array([[at[group] for group in pair] for pair in mine])
    one, two = (stacked.scores.take(index[:, side]) for side in (0, 1))
    differences = one.minus(two)
    resample = Resample.draw(
        one.patient, one.values.shape[2], rng, draws=choices.draws, over="both"
    )
    intervals = case_intervals(differences, choices.of_cases, resample, level=level)
    tested = case_tests(
        one, two, test=choices.of_cases.test, zeros=choices.of_cases.zeros, rng=rng
    )
    both = t_test(two_way(differences))
    found = {
        pair: measured(intervals, tested, both, row) for row, pair in enumerate(mine)
    }
    if effects:
        sizes = _effects(one, two, differences, resample, level=level, sign=sign)
        smallest = detectable(differences, alpha=alpha)
        wanted = needed(differences, alpha=alpha)
        for row, pair in enumerate(mine):
            found[pair] |= _further(sizes, smallest, wanted, row)
    return found


def measured(
    intervals: Intervals, tested: Tested, both: tuple[Floats, Bools], row: int
) -> dict[str, Any]:
    """Return what one row of intervals and tests says of a comparison.

    both: p-values with the variance of cases and seeds, and where they are defined.
    """
    if not intervals.cases[row]:
        return {}
    none = intervals.rule[row] == NONE
    reason = tested.reason[row]
    return {
        "difference": float(intervals.mean[row]),
        "low": None if none else float(intervals.low[row]),
        "high": None if none else float(intervals.high[row]),
        "rule": int(intervals.rule[row]),
        "cases": int(intervals.cases[row]),
        "seeds": int(intervals.seeds[row]),
        "n": int(tested.n[row]),
        "floor": float(tested.floor[row]),
        "p": None if reason else float(tested.p[row]),
        "both_p": float(both[0][row]) if both[1][row] else None,
        "reason": reason or None,
    }


def _further(
    sizes: Mapping[str, Effects], smallest: Floats, wanted: list[Needed], row: int
) -> dict[str, Any]:
    return {
        "effects": {
            name: Effect(float(e.value[row]), float(e.low[row]), float(e.high[row]))
            for name, e in sizes.items()
            if e.defined[row]
        },
        "detectable": float(smallest[row]) if np.isfinite(smallest[row]) else None,
        "needed": wanted[row],
    }


def _effects(
    one: Scores,
    two: Scores,
    differences: Scores,
    resample: Resample,
    *,
    level: float,
    sign: float,
) -> dict[str, Effects]:
    found = paired_effects(differences, resample, level=level)
    if sign < 0:
        better = found["improvement"]
        found["improvement"] = Effects(
            1 - better.value, 1 - better.high, 1 - better.low, better.defined
        )
    first, second = seed_means(one), seed_means(two)
    found["hedges_g"] = hedges_g(first, second, level=level)
    found["cliffs_delta"] = cliffs_delta(first, second, level=level)
    return found


def seed_means(scores: Scores) -> Samples:
    """Return the mean over cases of each seed: a sample of seeds per group."""
    count = scores.present.sum(axis=1)
    return Samples(scores.values.sum(axis=1) / np.maximum(count, 1), count > 0)


def case_tests(
    one: Scores,
    two: Scores,
    *,
    test: Test = "wilcoxon",
    zeros: Zeros = "pratt",
    rng: np.random.Generator | None = None,
) -> Tested:
    """Test each group of `one` against that of `two`, without correction.

    rng: for the permutation tests, where permutations are drawn.
    """
    rng = rng or np.random.default_rng(0)
    if test in ("welch", "seed-permutation"):
        return run_tests(seed_means(one), seed_means(two), test=test, rng=rng)
    differences = one.minus(two)
    values, present = unit_means(differences)
    units = present.sum(axis=1).astype(np.int64)
    none = np.zeros(len(units))
    if test == "wilcoxon":
        found = signed_rank(values, present, zeros=zeros)
        reason = _reasons(units, found.nonzero == 0)
        return Tested(found.p, found.nonzero, found.floor, reason)
    if test == "sign-flip":
        p, nonzero = sign_flip(np.where(present, values, 0.0), present, rng)
        floor = np.minimum(np.exp2(1.0 - nonzero), 1.0)
        return Tested(p, nonzero, floor, _reasons(units, nonzero == 0))
    if test == "paired-t":
        p, defined = paired_t(values, present)
        return Tested(p, units, none, _reasons(units, ~defined, least=2))
    intervals = two_way(differences)
    p, defined = t_test(intervals)
    return Tested(p, units, none, _reasons(units, ~defined))


def run_tests(
    one: Samples, two: Samples, *, test: Test, rng: np.random.Generator
) -> Tested:
    """Test samples of seeds against each other: Welch's t or all splits of the seeds."""
    fewest = np.minimum(one.count, two.count)
    if test == "welch":
        p, defined = welch(one, two)
        reason = _reasons(fewest, ~defined, least=2)
        return Tested(p, fewest, np.zeros(len(p)), reason)
    p, floor = split_test(one, two, rng)
    flat = np.array([_constant(one, two, row) for row in range(len(p))], dtype=bool)
    return Tested(p, fewest, floor, _reasons(fewest, flat))


def _constant(one: Samples, two: Samples, row: int) -> bool:
    joint = np.concatenate([each.values[row][each.present[row]] for each in (one, two)])
    return bool(len(joint) == 0 or np.ptp(joint) == 0)


def _reasons(units: Ints, flat: np.ndarray, *, least: int = 1) -> tuple[str, ...]:
    """Say why tests are undefined: too few units, or no difference among them."""
    return tuple(
        "too few" if count < least else "no difference" if same else ""
        for count, same in zip(units, flat, strict=True)
    )
