"""Entropy and distance of attention by stage, with intervals over runs and crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Protocol, TypeVar

import numpy as np
import pandas as pd

from ..analyse.estimate import (
    ANY,
    POSITIVE,
    SHARE,
    Estimate,
    Limits,
    clipped,
    estimate,
    of_difference,
)
from ..analyse.intervals import Floats, Scores, two_way
from ..schema.errors import UserError
from ..schema.identity import short
from .alignment import layer_order
from .analysed import kept
from .evidence import Evidence
from .representation import in_file_order
from .table import budget_order

KIND = "attention"
FILE = "attention.npz"
State = Literal["before", "after"]
STATES: tuple[State, ...] = ("before", "after")
# Of the heads of a stage, as harness.run.represent.heads names them.
QUANTITIES = (
    "attention_entropy", "attention_entropy_share", "attention_distance_tokens",
    "attention_distance_mm",
)  # fmt: skip
PLACE = ("analysis", "task", "protocol", "method", "encoder")
ENTROPY, SPREAD = "attention_entropy_share_mean", "attention_entropy_share_sd"
# Where a quantity lies, whatever heads do; of the others it is known that they are no
# less than 0.
LIMITS: Mapping[str, Limits] = {ENTROPY: SHARE}
Run = tuple[int, int]  # seed, of the pretraining where it is known; fold


@dataclass(frozen=True)
class Attended:
    """A stage of an encoder, before or after it was fine-tuned.

    label_budget: empty before fine-tuning, which no label has touched; values: by
    quantity, a batch of crops per row and a run per column; whole: by quantity, the mean
    over runs of what was measured on all crops at once; heads: of the stage, over its
    blocks; keys: folder names of the evaluations.
    """

    analysis: str
    task: str
    protocol: str
    method: str
    encoder: str
    state: State
    label_budget: str
    stage: str
    runs: tuple[Run, ...]
    values: Mapping[str, Floats]
    whole: Mapping[str, float]
    heads: int
    keys: tuple[str, ...]

    @property
    def place(self) -> tuple[str, ...]:
        """What methods have to share to be compared."""
        return (
            self.analysis, self.task, self.protocol, self.state, self.label_budget,
            self.stage,
        )  # fmt: skip

    def estimate(self, quantity: str, *, level: float) -> Estimate | None:
        """Return a quantity's mean over batches and runs, None where it is undefined."""
        limits = LIMITS.get(quantity, POSITIVE)
        return mean_over_both(self.values[quantity], level, limits)


@kept
def attended(evidence: Evidence) -> list[Attended]:
    """Return every stage of every method. Raises UserError where there are none."""
    nodes = evidence.features.nodes(KIND)
    rows = evidence.features.rows(KIND)
    found = [one for state in STATES for one in _of_state(nodes, rows, state, evidence)]
    tasks, methods = in_file_order(evidence)
    return sorted(
        found,
        key=lambda one: (
            tasks.index(one.task), one.protocol, one.analysis,
            budget_order(one.label_budget) if one.label_budget else (-1, 0.0),
            layer_order(one.stage), methods.index(one.method),
        ),
    )  # fmt: skip


def runs_of_state(
    nodes: pd.DataFrame, state: State
) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Yield PLACE and label budget with the nodes of each, and their column `run`.

    Before fine-tuning, which no label has touched, the budget is empty and a run is a
    pretraining, so that nodes that share one have the same run.
    """
    run = nodes.seed
    if state == "before":
        nodes = nodes.assign(label_budget="")
        run = nodes.pretraining_seed.where(nodes.pretraining_seed.notna(), nodes.seed)
    grouped = nodes.assign(run=run).groupby([*PLACE, "label_budget"], sort=False)
    for place, own in grouped:
        yield tuple(map(str, place)), own


def _of_state(
    nodes: pd.DataFrame, rows: pd.DataFrame, state: State, evidence: Evidence
) -> Iterator[Attended]:
    """Yield the stages of a state."""
    for place, own in runs_of_state(nodes, state):
        keys = tuple(map(short, dict.fromkeys(own.evaluate_key)))
        own = own.drop_duplicates(["run", "fold"])
        arrays = [_arrays(evidence, key) for key in own.key]
        of_nodes = rows[rows.key.isin(own.key)]
        stages = dict.fromkeys(
            str(stage) for each in arrays for stage in each[f"{state}.stages"]
        )
        for stage in stages:
            yield _stage(place, state, stage, own, arrays, of_nodes, keys)


def _arrays(evidence: Evidence, key: str) -> Mapping[str, np.ndarray]:
    try:
        return evidence.features.arrays(key, FILE)
    except KeyError as error:
        msg = (
            f"the analysis {short(key)} has no {FILE}: it was made by an earlier version; "
            "set it aside with harness clean and run it again"
        )
        raise UserError(msg) from error


def _stage(
    place: Sequence[str],
    state: State,
    stage: str,
    own: pd.DataFrame,
    arrays: Sequence[Mapping[str, np.ndarray]],
    rows: pd.DataFrame,
    keys: tuple[str, ...],
) -> Attended:
    analysis, task, protocol, method, encoder, budget = place
    mine = rows[rows.layer == f"{state}.{stage}"]
    heads = mine[mine.quantity == "attention_entropy_mean"].n
    return Attended(
        analysis, task, protocol, method, encoder, state, budget, stage,
        runs=tuple(
            (int(run), int(fold)) for run, fold in zip(own.run, own.fold, strict=True)
        ),
        values={
            f"{quantity}_{end}": _columns(arrays, state, f"{quantity}_{end}", stage)
            for quantity in QUANTITIES for end in ("mean", "sd")
        },
        whole={str(q): float(v) for q, v in mine.groupby("quantity").value.mean().items()},
        heads=int(heads.max()) if len(heads) else 0,
        keys=keys,
    )  # fmt: skip


def _columns(
    arrays: Sequence[Mapping[str, np.ndarray]], state: State, quantity: str, stage: str
) -> Floats:
    """Return the batches of each run as columns; nan where a run has fewer."""
    columns = []
    for each in arrays:
        names = list(map(str, each[f"{state}.stages"]))
        some = each[f"{state}.{quantity}"]
        columns.append(some[:, names.index(stage)] if stage in names else np.array([]))
    longest = max(map(len, columns))
    wide = np.full((longest, len(columns)), np.nan)
    for place, column in enumerate(columns):
        wide[: len(column), place] = column
    return wide


def mean_over_both(
    values: Floats, level: float, limits: Limits = ANY
) -> Estimate | None:
    """Return the mean over rows and columns, nan left out, with the doubt of both.

    values: what is measured (rows, such as cases) in each run (columns), within limits,
    where the interval, Student's, is cut. None where nothing is known.
    """
    present = np.isfinite(values)
    if not present.any():
        return None
    scores = Scores(
        np.where(present, values, 0.0)[None], present[None], np.arange(len(values))
    )
    found = estimate(two_way(scores, level=level))
    return None if found is None else clipped(found, limits)


class _Placed(Protocol):
    @property
    def place(self) -> tuple[str, ...]:
        """What methods have to share to be compared."""


_Found = TypeVar("_Found", bound=_Placed)


def later_and_earlier(found: Sequence[_Found]) -> Iterator[tuple[_Found, _Found]]:
    """Yield every pair of methods in a place, the later in the file first."""
    places: dict[tuple[str, ...], list[_Found]] = {}
    for each in found:
        places.setdefault(each.place, []).append(each)
    for some in places.values():
        for other, one in combinations(some, 2):
            yield one, other


@dataclass(frozen=True)
class Apart:
    """One method minus another at one stage, paired by run and by batch of crops."""

    one: Attended
    other: Attended
    entropy: Estimate | None
    spread: Estimate | None
    runs: int


def apart(found: Sequence[Attended], *, level: float) -> Iterator[Apart]:
    """Yield every pair of methods at every stage, the later in the file minus the earlier.

    The crops are the same ones for every method, so that batches are pairs; runs with
    the same seed are too.
    """
    for one, other in later_and_earlier(found):
        shared = [run for run in one.runs if run in other.runs]
        yield Apart(
            one, other, _minus(one, other, ENTROPY, shared, level),
            _minus(one, other, SPREAD, shared, level), len(shared),
        )  # fmt: skip


def _minus(
    one: Attended, other: Attended, quantity: str, shared: Sequence[Run], level: float
) -> Estimate | None:
    if not shared:
        return None
    values = combined([(one, 1.0), (other, -1.0)], quantity, shared)
    limits = of_difference(LIMITS.get(quantity, POSITIVE))
    return mean_over_both(values, level, limits)


def combined(
    parts: Sequence[tuple[Attended, float]], quantity: str, runs: Sequence[Run]
) -> Floats:
    """Return a weighted sum of methods, a batch of crops per row and a run per column.

    runs: which every part has. Batches are those that all have: the first ones, the
    same crops of every method.
    """
    batches = min(len(one.values[quantity]) for one, _ in parts)
    columns = (
        weight * one.values[quantity][:batches, [one.runs.index(run) for run in runs]]
        for one, weight in parts
    )
    total: Floats = np.sum(np.stack(list(columns)), axis=0)
    return total
