"""Claims checked against results: supported, contradicted or undecided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from ..schema.claims import MEASURED, METRICS, TOGETHER, Side, StatedClaim
from .claim_forms import (
    Field,
    Form,
    Source,
    Unmeasured,
    ratio,
    side_blocks,
)
from .estimate import Estimate, shifted, weighted_sum

Verdict = Literal["supported", "contradicted", "undecided"]
# A quantity that is not made from scores: (quantity, method, side) -> its value.
Measure = Callable[[str, str, Side], Estimate | None]


@dataclass(frozen=True)
class Step:
    """One comparison of a claim: one method, or number, on each side.

    difference: left minus right. blocks of wanted: tasks x protocols x label budgets
    that it rests on; held: in how many of them the difference has the claimed sign.
    percent: the difference in percent of the right side, where asked for.
    """

    left: str
    right: str
    verdict: Verdict
    difference: Estimate | None = None
    percent: Estimate | None = None
    left_value: float | None = None
    right_value: float | None = None
    blocks: int = 0
    wanted: int = 0
    held: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Checked:
    """A claim with its verdict.

    A claim of several steps is supported where every step is, contradicted where one
    is at a level corrected for their number, else undecided. published, measured: the
    published number and the one it is to be compared with, in the entry's unit, where
    the claim has one step; inside: whether the published lies in the measured interval.
    values: published and measured score of each method that the entry gives values of.
    """

    stated: StatedClaim
    verdict: Verdict
    steps: tuple[Step, ...]
    reason: str | None = None
    published: float | None = None
    measured: Estimate | None = None
    inside: bool | None = None
    values: Mapping[str, tuple[float, float | None]] | None = None

    @property
    def sentence(self) -> str:
        """The verdict with its numbers in one line."""
        if self.reason is not None:
            return f"{self.verdict}: {self.reason}"
        apart = self.steps[0].difference
        if len(self.steps) > 1 or apart is None:
            held = sum(step.verdict == "supported" for step in self.steps)
            return f"{self.verdict}: {held} of {len(self.steps)} comparisons supported"
        between = "" if apart.low is None else f" [{apart.low:+.3g}, {apart.high:+.3g}]"
        step = self.steps[0]
        return (
            f"{self.verdict}: difference {apart.value:+.3g}{between}, claimed sign in "
            f"{step.held} of {step.blocks}"
        )


def check_claims(
    claims: Sequence[StatedClaim],
    source: Source,
    *,
    methods: Sequence[str],
    metric: str = "dice",
    measure: Measure | None = None,
    level: float = 0.95,
) -> list[Checked]:
    """Check claims against scores.

    source: scores of a metric (and structure or class); methods: all of the matrix, for
    `*`; metric: the one meant where a claim names none; measure: quantities beside
    scores (schema.claims.MEASURED), by default none is measured.
    """
    check = _Check(source, tuple(methods), metric, measure, level)
    return [check.claim(stated) for stated in claims]


@dataclass(frozen=True)
class _Check:
    source: Source
    methods: tuple[str, ...]
    metric: str
    measure: Measure | None
    level: float

    def claim(self, stated: StatedClaim) -> Checked:
        """Return a claim with its verdict."""
        pairs = self._pairs(stated.claim.sides)
        percent = stated.entry.unit == "percent"
        steps = tuple(
            self._step(stated, left, right, share=1 / len(pairs), percent=percent)
            for left, right in pairs
        )
        reasons = dict.fromkeys(step.reason for step in steps if step.reason)
        if not steps:
            return Checked(stated, "undecided", (), "there is no other method")
        found = Checked(
            stated, _joint(steps), steps, "; ".join(reasons) if reasons else None
        )
        return self._beside(found, percent=percent)

    def _pairs(self, sides: Sequence[Side]) -> list[tuple[Side, Side]]:
        named = {name for side in sides for name in side.names if name != "*"}
        others = tuple(name for name in self.methods if name not in named)
        spread = [
            replace(side, names=others) if side.names == ("*",) else side
            for side in sides
        ]
        return [
            (left, right)
            for one, two in pairwise(spread)
            for left in _alone(one)
            for right in _alone(two)
        ]

    def _step(
        self,
        stated: StatedClaim,
        left: Side,
        right: Side,
        *,
        share: float,
        percent: bool,
    ) -> Step:
        """share: of the error rate that this step may use to contradict the claim."""
        step = Step(str(left), str(right), "undecided")
        try:
            if {left.quantity, right.quantity} & set(MEASURED):
                found = self._measured(left, right)
                strict = found
            else:
                field, one, two, step = self._forms(left, right, step, stated.claim.op)
                apart = one.plus(two.scaled(-1.0))
                found = apart.estimated(field.scored, level=self.level)
                strict = apart.estimated(
                    field.scored, level=1 - (1 - self.level) * share
                )
                if percent and (form := ratio(apart, two)) is not None:
                    of_right = form.estimated(field.scored, level=self.level)
                    step = replace(step, percent=of_right)
        except Unmeasured as error:
            return replace(step, reason=str(error))
        verdict = _verdict(found, strict, stated.claim.op, stated.claim.margin or 0.0)
        reason = None if found.low is not None else "there is no interval"
        return replace(step, verdict=verdict, difference=found, reason=reason)

    def _forms(
        self, left: Side, right: Side, step: Step, op: str
    ) -> tuple[Field, Form, Form, Step]:
        field = self._field(left, right)
        rows = side_blocks(field, left, right)
        kept = [(one, two) for one, two in rows if one is not None and two is not None]
        if not kept:
            msg = f"not measured: {step.left} against {step.right}"
            raise Unmeasured(msg)
        one, two = Form(0.0), Form(0.0)
        for mine, theirs in kept:
            one = one.plus(mine.scaled(1 / len(kept)))
            two = two.plus(theirs.scaled(1 / len(kept)))
        signs = [mine.value - theirs.value for mine, theirs in kept]
        held = sum(s > 0 if op == ">" else s < 0 for s in signs) if op != "~" else 0
        step = replace(
            step,
            blocks=len(kept),
            wanted=len(rows),
            held=held,
            left_value=one.value,
            right_value=two.value,
        )
        return field, one, two, step

    def _field(self, left: Side, right: Side) -> Field:
        metrics = dict.fromkeys(
            (item.name, item.part)
            for side in (left, right)
            for item in side.on
            if item.name in METRICS
        )
        if len(metrics) > 1:
            msg = f"{len(metrics)} metrics in one claim: state one claim for each"
            raise Unmeasured(msg)
        metric, part = next(iter(metrics), (self.metric, None))
        found = self.source(metric, part)
        if found is None:
            name = metric if part is None else f"{metric}[{part}]"
            msg = f"not measured: {name}"
            raise Unmeasured(msg)
        return Field.of(*found)

    def _measured(self, left: Side, right: Side) -> Estimate:
        values = []
        for side in (left, right):
            if side.number is not None:
                exact = Estimate(side.number, side.number, side.number, 0.0, 1.0, 0, 0)
                values.append(exact)
                continue
            found = self.measure and self.measure(side.quantity, side.names[0], side)
            if not found:
                msg = f"not measured: {side}"
                raise Unmeasured(msg)
            values.append(shifted(found, side.offset))
        return weighted_sum(values, [1.0, -1.0], level=self.level)

    def _beside(self, found: Checked, *, percent: bool) -> Checked:
        published = found.stated.entry.published
        if isinstance(published, Mapping):
            measured = {
                name: value
                for step in found.steps
                for name, value in (
                    (step.left, step.left_value), (step.right, step.right_value)
                )
            }  # fmt: skip
            values = {n: (value, measured.get(n)) for n, value in published.items()}
            return replace(found, values=values)
        if published is None or len(found.steps) != 1:
            return replace(found, published=published)
        step = found.steps[0]
        mine = step.percent if percent else step.difference
        inside = None
        if mine is not None and mine.low is not None and mine.high is not None:
            inside = mine.low <= published <= mine.high
        return replace(found, published=published, measured=mine, inside=inside)


def _alone(side: Side) -> list[Side]:
    """Return one side for each method, but those taken together as one."""
    if side.number is not None or side.quantity in TOGETHER:
        return [side]
    return [replace(side, names=(name,)) for name in side.names]


def _verdict(found: Estimate, strict: Estimate, op: str, margin: float) -> Verdict:
    if found.low is None or found.high is None:
        return "undecided"
    assert strict.low is not None
    assert strict.high is not None
    if op == "~":
        if -margin <= found.low and found.high <= margin:
            return "supported"
        apart = strict.low > margin or strict.high < -margin
        return "contradicted" if apart else "undecided"
    low, high = (found.low, strict.high) if op == ">" else (-found.high, -strict.low)
    if low > 0:
        return "supported"
    return "contradicted" if high < 0 else "undecided"


def _joint(steps: Sequence[Step]) -> Verdict:
    verdicts = {step.verdict for step in steps}
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if verdicts == {"supported"} else "undecided"
