"""The square of DAGMaN's two parts: what each does to the diversity of heads.

Four methods are its corners: with neither part, with one, with the other, with both. All
contrasts are paired by crop and by seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runs import NOTHING

from harness.analyse.estimate import Estimate
from harness.report.alignment import layer_order
from harness.report.attention import Attended, combined, mean_over_both

LEVEL = 0.95
# The corners of the square: which of DAGMaN's two parts a method has.
NEITHER, NOISE, ATTENTION, BOTH = (
    "smit", "dagman_noisy_only", "dagman_attention_only", "dagman",
)  # fmt: skip
SQUARE = (NEITHER, NOISE, ATTENTION, BOTH)
CONTRASTS: Mapping[str, Mapping[str, float]] = {
    "noisy teacher, main effect": {
        NOISE: 0.5,
        NEITHER: -0.5,
        BOTH: 0.5,
        ATTENTION: -0.5,
    },
    "noisy teacher, without attention": {NOISE: 1, NEITHER: -1},
    "noisy teacher, with attention": {BOTH: 1, ATTENTION: -1},
    "attention, main effect": {ATTENTION: 0.5, NEITHER: -0.5, BOTH: 0.5, NOISE: -0.5},
    "both against neither": {BOTH: 1, NEITHER: -1},
    "interaction": {BOTH: 1, NOISE: -1, ATTENTION: -1, NEITHER: 1},
}
MAIN = ("noisy teacher, main effect", "attention, main effect")
# Quantities of the heads of a stage, and what the page calls them.
QUANTITIES = {
    "attention_entropy_share_mean": "entropy, mean over heads",
    "attention_entropy_share_sd": "entropy, sd over heads",
    "attention_distance_tokens_mean": "distance in tokens, mean",
    "attention_distance_tokens_sd": "distance, sd over heads",
}


def told(found: Estimate | None) -> str:
    """Return a difference with its interval as a cell of a table."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:+.4f}"
    text = f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    sure = found.seeds > 1 and (found.low > 0 or found.high < 0)
    return f"**{text}**" if sure else text


@dataclass(frozen=True)
class Square:
    """The four methods on a task in one state, with the stages and runs that all have.

    stages: by method, in order of the stages' names.
    """

    task: str
    labels: str
    names: tuple[str, ...]
    stages: Mapping[str, Sequence[Attended]]
    runs: tuple[tuple[int, int], ...]

    def contrast(
        self, weights: Mapping[str, float], quantity: str, stages: Sequence[str]
    ) -> Estimate | None:
        """Return a contrast of methods, paired by run and crop, mean over stages."""
        parts = [
            (one, weight / len(stages))
            for method, weight in weights.items()
            for one in self.stages[method]
            if one.stage in stages
        ]
        return mean_over_both(combined(parts, quantity, self.runs), LEVEL)

    @property
    def counted(self) -> str:
        """Return how many crops and seeds there are."""
        crops = min(
            len(one.values[next(iter(QUANTITIES))])
            for some in self.stages.values()
            for one in some
        )
        return f"{crops} x {len(self.runs)}"


def squares(found: Sequence[Attended]) -> Iterator[Square]:
    """Yield every task and state in which all four methods were looked at."""
    places: dict[tuple[str, str], dict[str, list[Attended]]] = {}
    for one in found:
        if one.method in SQUARE:
            labels = one.label_budget or "before fine-tuning"
            at = places.setdefault((one.task, labels), defaultdict(list))
            at[one.method].append(one)
    for (task, labels), methods in places.items():
        if set(methods) != set(SQUARE):
            continue
        every = [{one.stage for one in some} for some in methods.values()]
        common = tuple(sorted(set.intersection(*every), key=layer_order))
        own = {
            method: [one for one in some if one.stage in common]
            for method, some in methods.items()
        }
        shared = [set(one.runs) for some in own.values() for one in some]
        runs = tuple(sorted(set.intersection(*shared))) if shared else ()
        if runs:
            yield Square(task, labels, common, own, runs)


def answer(heads: Sequence[Attended]) -> list[str]:
    """Return every contrast of the square, and the main effects stage by stage."""
    found = list(squares(heads))
    if not found:
        return [NOTHING]
    head = " | ".join(QUANTITIES.values())
    rule = "|---" * (len(QUANTITIES) + 4) + "|"
    lines = [f"| task | labels | contrast | {head} | crops x seeds |", rule]
    lines += [
        f"| {one.task} | {one.labels} | {name} | {_effects(one, weights, one.names)} "
        f"| {one.counted} |"
        for one in found
        for name, weights in CONTRASTS.items()
    ]
    lines += [
        "",
        "Mean over the encoder's own stages, which are the same in all four (semantic "
        "blocks, which two of them have, are not among them). Entropy is a share of its "
        f"largest value. {LEVEL:.0%} intervals, paired by crop and seed; of one seed they "
        "know of crops alone, and speak of these four networks, not of the methods. Bold: "
        "0 lies outside, of several seeds; no correction for the number of contrasts.",
        "",
        f"| task | labels | stage | contrast | {head} |", rule,
    ]  # fmt: skip
    lines += [
        f"| {one.task} | {one.labels} | {stage} | {name} "
        f"| {_effects(one, CONTRASTS[name], [stage])} |"
        for one in found
        for stage in one.names
        for name in MAIN
    ]
    return lines


def _effects(one: Square, weights: Mapping[str, float], stages: Sequence[str]) -> str:
    return " | ".join(told(one.contrast(weights, name, stages)) for name in QUANTITIES)
