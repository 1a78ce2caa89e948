"""Comparisons of methods: tests, corrected for a family, with effect sizes.

    comparisons = compare_cases(stacked, layout, baseline="random")

A comparison is of two groups that share task, protocol and label budget. Everything is
paired by case and seed where the two have both in common.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from ..schema.errors import UserError, nearest
from ..schema.style import UNITS, Style, Test
from .intervals import NONE, Bools, Floats, Ints
from .multiplicity import adjust_families
from .power import Needed
from .scores import Layout

Pair = tuple[int, int]
Pairs = Literal["baseline", "all"]


@dataclass(frozen=True)
class Effect:
    """An effect size with its bounds, which are None where there is no interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """One method against another on a task, with a protocol and a label budget.

    group, other: places in the layout. difference: method minus other, with its
    interval (None where there is none) over `rule` as in Intervals. n: units that the
    test counts (`unit`): patients with a non-zero difference for signed ranks, the
    smaller number of seeds for tests over seeds. p, adjusted: None where undefined,
    with the `reason`: 'missing' (nothing published, or no case in common), 'too few'
    units, 'no difference' (all are 0, or nothing varies), or 'cannot reach' alpha even
    with the clearest outcome, whose p-value is `floor` (`floor_adjusted` in its
    family). both_p, both_adjusted: beside it the t-test of the difference with the
    variance of cases and seeds, corrected over the same comparisons; None where there
    is no interval. family, family_size: what p is corrected with. effects: by name
    (median_difference, rank_biserial, improvement over patients; hedges_g, cliffs_delta
    over seeds). detectable: smallest true difference found with 80% power; needed: what
    would show the observed one.
    """

    group: int
    other: int
    task: str
    protocol: str
    label_budget: str
    method: str
    encoder: str
    other_method: str
    other_encoder: str
    test: Test
    alpha: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    rule: int = NONE
    cases: int = 0
    seeds: int = 0
    n: int = 0
    p: float | None = None
    adjusted: float | None = None
    floor: float = 0.0
    floor_adjusted: float = 0.0
    both_p: float | None = None
    both_adjusted: float | None = None
    reason: str | None = "missing"
    family: str = ""
    family_size: int = 0
    effects: Mapping[str, Effect] = field(default_factory=dict)
    detectable: float | None = None
    needed: Needed | None = None

    @property
    def unit(self) -> str:
        """What the test counts: patients, seeds, or both."""
        return UNITS[self.test]

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is at most alpha."""
        return self.adjusted is not None and self.adjusted <= self.alpha

    @property
    def confirmed(self) -> bool:
        """Whether it is significant with the variance of cases and seeds too.

        A test over cases takes the seeds as given, and finds too much where they vary
        (docs/results/statistics.md): this is what may be generalised to other seeds.
        """
        sure = self.both_adjusted is not None and self.both_adjusted <= self.alpha
        return self.significant and sure

    @property
    def separable(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0

    @property
    def sentence(self) -> str:
        """What stands in a table in place of p, or p itself."""
        if self.adjusted is not None:
            shown = shown_p(self.adjusted)
            return f"p {shown}" if shown.startswith("<") else f"p = {shown}"
        if self.reason == "cannot reach":
            within = f" in a family of {self.family_size}" if self.family_size else ""
            alone = self.floor > self.alpha
            return (
                f"cannot reach {self.alpha:g} with n = {self.n}"
                f"{'' if alone else within}"
            )
        return self.reason or "undefined"


def shown_p(p: float) -> str:
    """Return a p-value as tables print it.

    >>> shown_p(0.04321), shown_p(1e-9)
    ('0.0432', '< 0.001')
    """
    return f"{p:.3g}" if p >= 0.001 else "< 0.001"


@dataclass(frozen=True)
class Tested:
    """p-values (K,) before correction. reason: '' where p is defined."""

    p: Floats
    n: Ints
    floor: Floats
    reason: tuple[str, ...]


def pair_groups(
    layout: Layout, baseline: str | None = None, *, pairs: Pairs = "baseline"
) -> list[Pair]:
    """Return pairs of groups with one task, protocol and label budget.

    `baseline` pairs each other method with the baseline: with that of the same encoder
    where there is one (of several with the first of the benchmark file), else with the
    only one. Without a name the baseline is what has
    no pretraining. `all` pairs all methods, the earlier in the benchmark file first.
    Raises UserError for an unknown baseline, and where nothing is without pretraining.
    """
    rows = {int(group): row for group, row in layout.groups.to_dict("index").items()}
    bases = _bases(rows, baseline) if pairs == "baseline" else set()
    blocks: dict[tuple[str, str, str], list[int]] = {}
    for group, row in rows.items():
        key = (row["task"], row["protocol"], row["label_budget"])
        blocks.setdefault(key, []).append(group)
    found = []
    for some in blocks.values():
        if pairs == "all":
            found += list(combinations(some, 2))
            continue
        mine = [group for group in some if group in bases]
        same = {rows[group]["encoder"]: group for group in reversed(mine)}
        only = mine[0] if len(mine) == 1 else None
        for group in some:
            base = same.get(rows[group]["encoder"], only)
            if group not in bases and base is not None:
                found.append((group, base))
    return found


def _bases(rows: Mapping[int, Mapping[str, Any]], baseline: str | None) -> set[int]:
    """Return the groups of the baseline: by name, or those without pretraining."""
    if baseline is None:
        plain = {group for group, row in rows.items() if not row["pretrained"]}
        if not plain or len(plain) == len(rows):
            msg = (
                "no baseline to compare with: every method here is pretrained, or none "
                "is; name one with --baseline METHOD"
            )
            raise UserError(msg)
        return plain
    known = list(dict.fromkeys(row["method"] for row in rows.values()))
    if baseline not in known:
        msg = (
            f"the baseline {baseline!r} is not a method here: expected one of "
            f"{', '.join(known)}.{nearest(baseline, known)}"
        )
        raise UserError(msg)
    return {group for group, row in rows.items() if row["method"] == baseline}


def blanks(
    layout: Layout, pairs: Iterable[Pair], test: Test, alpha: float
) -> dict[Pair, Comparison]:
    """Return comparisons of which nothing is known yet."""
    rows = {int(group): row for group, row in layout.groups.to_dict("index").items()}
    found = {}
    for pair in pairs:
        one, two = (rows[group] for group in pair)
        found[pair] = Comparison(
            group=pair[0],
            other=pair[1],
            task=str(one["task"]),
            protocol=str(one["protocol"]),
            label_budget=str(one["label_budget"]),
            method=str(one["method"]),
            encoder=str(one["encoder"]),
            other_method=str(two["method"]),
            other_encoder=str(two["encoder"]),
            test=test,
            alpha=alpha,
        )
    return found


def corrected(found: Iterable[Comparison], style: Style) -> list[Comparison]:
    """Correct p-values within their families and say which cannot reach alpha.

    A test whose floor lies above alpha leaves the family, which keeps the error rate
    (Tarone, Biometrics 46, 1990); so does an undefined one. `floor_adjusted` is the
    adjusted p-value if every test of the family had come out as clearly as it can.
    """
    listed = [
        replace(each, reason="cannot reach", p=None)
        if each.p is not None and each.floor > each.alpha
        else each
        for each in found
    ]
    names = [_family(each, style) for each in listed]
    codes = {name: place for place, name in enumerate(dict.fromkeys(names))}
    family = np.array([codes[name] for name in names], dtype=np.int64)
    p, defined = _column([each.p for each in listed])
    adjusted = adjust_families(p, defined, family, style.correction)
    floors = np.array([each.floor for each in listed])
    clearest = adjust_families(floors, defined, family, style.correction)
    lowest = np.where(defined & (floors > 0), clearest, floors)
    both, known = _column([each.both_p for each in listed])
    sure = adjust_families(both, known, family, style.correction)
    size = np.bincount(family, weights=defined, minlength=len(codes))
    found = []
    for i, each in enumerate(listed):
        each = replace(
            each,
            family=names[i],
            family_size=int(size[family[i]]),
            floor_adjusted=float(lowest[i]),
            both_adjusted=float(sure[i]) if known[i] else None,
        )
        if defined[i] and lowest[i] > each.alpha:
            each = replace(each, reason="cannot reach")
        elif defined[i]:
            each = replace(each, adjusted=float(adjusted[i]))
        found.append(each)
    return found


def _column(values: Sequence[float | None]) -> tuple[Floats, Bools]:
    """Return values with 1 where there is none, and where there is one."""
    defined = np.array([value is not None for value in values], dtype=bool)
    return np.array([1.0 if v is None else v for v in values]), defined


def _family(each: Comparison, style: Style) -> str:
    if style.family == "table":
        return "all comparisons of the table"
    if style.family == "budget":
        return f"{each.protocol}, {each.label_budget}"
    return f"{each.task}, {each.protocol}, {each.label_budget}"


def stream(seed: int, task: str) -> np.random.Generator:
    """Return the generator of a task's draws: they depend on no other task."""
    return np.random.default_rng([seed, zlib.crc32(task.encode())])


def by_task(layout: Layout, pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """Sort pairs by their task."""
    tasks = layout.groups.task.to_dict()
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(str(tasks[pair[0]]), []).append(pair)
    return found
