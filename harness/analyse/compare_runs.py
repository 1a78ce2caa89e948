"""Comparisons of metrics that exist per run only (AUC, kappa, F1 and the like)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..schema.style import Style, style
from .classified import Drawn
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
from .compare_cases import measured, run_tests
from .intervals import Intervals, t_test
from .scores import Layout
from .unpaired import Samples, cliffs_delta, hedges_g


def compare_runs(
    drawn: Mapping[str, Drawn],
    layout: Layout,
    *,
    baseline: str | None = None,
    pairs: Pairs = "baseline",
    choices: Style | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every method with the baseline, or all pairs of methods.

    drawn: by task, from `draw_groups`. Intervals of differences are paired by case and
    seed; the test is the style's for runs: over the seeds' values, or `two-way` from
    the variance of the draws. Effect sizes are those over seeds. Raises UserError as
    `pair_groups`, which says what the pairs are.
    """
    choices = choices or style()
    listed = pair_groups(layout, baseline, pairs=pairs)
    found = blanks(layout, listed, choices.of_runs.test, alpha)
    for task, mine in by_task(layout, listed).items():
        source = drawn.get(task)
        for pair in mine if source is not None else ():
            assert source is not None
            changes = _of_pair(source, pair, choices, level, stream(seed, task))
            found[pair] = replace(found[pair], **changes)
    return corrected(found.values(), choices)


def _of_pair(
    source: Drawn, pair: Pair, choices: Style, level: float, rng: np.random.Generator
) -> dict[str, Any]:
    if not all(group in source.draws for group in pair):
        return {}
    gap = source.gap(*pair, level=level, choice=choices.of_runs)
    plain = source.gap(*pair, level=level)
    if gap is None or plain is None:
        return {}
    one, two = (_sample(source, group) for group in pair)
    tested = _tested(plain, one, two, choices, rng)
    effects = {
        "hedges_g": hedges_g(one, two, level=level),
        "cliffs_delta": cliffs_delta(one, two, level=level),
    }
    sizes = {
        name: Effect(float(e.value[0]), float(e.low[0]), float(e.high[0]))
        for name, e in effects.items()
        if e.defined[0]
    }
    return measured(gap, tested, t_test(plain), 0) | {"effects": sizes}


def _sample(source: Drawn, group: int) -> Samples:
    values = source.draws[group].value[None]
    return Samples(values, np.ones(values.shape, dtype=bool))


def _tested(
    gap: Intervals, one: Samples, two: Samples, choices: Style, rng: np.random.Generator
) -> Tested:
    if choices.of_runs.test in ("welch", "seed-permutation"):
        return run_tests(one, two, test=choices.of_runs.test, rng=rng)
    p, defined = t_test(gap)
    return Tested(
        p, gap.patients, np.zeros(1), ("" if defined[0] else "no difference",)
    )
