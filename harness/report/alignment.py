"""CKA of layers with their namesakes, over seeds and crops, from rows of analyses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np
import pandas as pd

from ..analyse.estimate import (
    Estimate,
    Limits,
    clipped,
    over_runs,
    shifted,
    weighted_sum,
)
from ..analyse.intervals import quantile
from ..schema.identity import short
from .analysed import kept
from .evidence import Evidence
from .representation import about_cells, in_file_order
from .table import budget_order

SEEDS = "another seed"  # in `against`: what networks of one setting differ in
# Joins the names of two different layers (harness.run.represent.alignment).
PAIR = " | "
# Unbiased, so that below 0 is possible; above 1 is not.
LIMITS: Limits = (-inf, 1.0)
_OF_ROWS = 0.95  # the level of the intervals that analyses write
_ORDER = ("stem", "stage", "semantic", "block", "decoder.up", "decoder")
# One setting: what is compared, in which labels the second network differs.
SETTING = (
    "analysis", "task", "protocol", "method", "encoder", "label_budget", "against",
)  # fmt: skip


@dataclass(frozen=True)
class Aligned:
    """CKA of one layer with its namesake, mean over the runs of a setting.

    against: how the second network differs, empty for the one before fine-tuning;
    estimate: with the doubt of runs and crops, None where a layer is constant; crops:
    the doubt of crops alone, about 0, None where they were one batch; runs: value per
    (seed, fold, pretraining seed); keys: folder names of the evaluations.
    """

    analysis: str
    task: str
    protocol: str
    method: str
    encoder: str
    label_budget: str
    against: str
    layer: str
    estimate: Estimate | None
    crops: Estimate | None
    level: float
    samples: int
    runs: tuple[tuple[tuple[int, ...], float], ...]
    keys: tuple[str, ...]

    @property
    def setting(self) -> tuple[str, ...]:
        """Everything but the layer, as SETTING names it."""
        return tuple(getattr(self, name) for name in SETTING)


def layer_order(layer: str) -> tuple[Any, ...]:
    """Return a sort key: layers in the order in which an image goes through them.

    >>> sorted(["decoder.up1", "stage2.block1", "stage1.merge", "stem"], key=layer_order)
    ['stem', 'stage1.merge', 'stage2.block1', 'decoder.up1']
    """
    kind = next((i for i, each in enumerate(_ORDER) if layer.startswith(each)), 99)
    numbers = [int(digits) for digits in re.findall(r"\d+", layer)]
    return kind, numbers[:1], layer.endswith("merge"), numbers, layer


@kept
def aligned(evidence: Evidence, kind: str) -> list[Aligned]:
    """Return every layer of every setting of an analysis by CKA, in order.

    Raises UserError where there are none.
    """
    rows = evidence.features.rows(kind)
    own = rows[~rows.layer.str.contains(PAIR, regex=False)]
    own = own.assign(against=own.against.fillna(""))
    # Pairs of seeds are runs of one comparison, told apart by their second seed.
    seeds = own.against.str.startswith("seed=")
    own = own.assign(
        against=own.against.mask(seeds, SEEDS),
        seed=own.seed.mask(seeds, own.other_seed),
    )
    found = [
        _of_layer(setting, layer, some, evidence.options.level)
        for (*setting, layer), some in own.groupby([*SETTING, "layer"], sort=False)
    ]
    tasks, methods = in_file_order(evidence)
    return sorted(
        found,
        key=lambda one: (
            tasks.index(one.task), one.protocol, one.analysis,
            methods.index(one.method), budget_order(one.label_budget), one.against,
            layer_order(one.layer),
        ),
    )  # fmt: skip


def _of_layer(
    setting: Sequence[str], layer: str, rows: pd.DataFrame, level: float
) -> Aligned:
    analysis, task, protocol, method, encoder, budget, against = setting
    values = rows[rows.quantity == "cka"].dropna(subset="value")
    run_columns = values[["seed", "fold", "pretraining_seed"]].fillna(-1).astype(int)
    runs = zip(map(tuple, run_columns.to_numpy().tolist()), values.value, strict=True)
    keys = rows.evaluate_key
    if rows.other_evaluate_key.notna().any():
        keys = pd.concat([keys, rows.other_evaluate_key])
    crops = _crops(rows, level)
    found = None
    if len(values):
        over = _over(list(values.value), against, level)
        found = clipped(over if crops is None else joined(over, crops, level), LIMITS)
    return Aligned(
        analysis, task, protocol, method, encoder, budget, against, layer, found, crops,
        level, int(values.n.min()) if len(values) else 0,
        tuple((tuple(run), float(value)) for run, value in runs),
        tuple(map(short, dict.fromkeys(keys.dropna()))),
    )  # fmt: skip


def _over(values: Sequence[float], against: str, level: float) -> Estimate:
    """Return a mean over runs; of pairs that share a network, without an interval."""
    found = over_runs(values, level=level)
    if against != SEEDS:
        return found
    return Estimate(found.value, None, None, 0.0, 1.0, 0, len(values))


def joined(over: Estimate, crops: Estimate, level: float) -> Estimate:
    """Return a mean over runs with the doubt of the crops added.

    The crops are the same ones in every run, so that their standard error does not
    shrink with the number of runs. One run has the doubt of its crops alone.
    """
    if over.low is None:
        return shifted(crops, over.value)
    return weighted_sum([over, crops], [1.0, 1.0], level=level)


def _crops(rows: pd.DataFrame, level: float) -> Estimate | None:
    """Return the doubt that crops leave: half of the intervals of the rows, about 0.

    B batches drawn with replacement vary by (B - 1) / B of what B new ones would: the
    spread is made up for it.
    """
    low, high = (
        rows[rows.quantity == name].dropna(subset="value")
        for name in ("cka_low", "cka_high")
    )
    if not len(low) or len(low) != len(high):
        return None
    normal = float(quantile(np.array([np.inf]), _OF_ROWS)[0])
    spread = float((high.value.mean() - low.value.mean()) / 2 / normal)
    batches = max(float(low.n.min()), 2.0)
    spread *= sqrt(batches / (batches - 1))
    return crops_estimate(spread, batches - 1, level)


def crops_estimate(spread: float, freedom: float, level: float) -> Estimate:
    """Return an estimate of 0 with a standard error and Student's interval."""
    half = float(quantile(np.array([freedom]), level)[0]) * spread
    return Estimate(0.0, -half, half, spread, freedom, 0, 1)


def by_setting(found: Sequence[Aligned]) -> Iterator[tuple[Aligned, list[Aligned]]]:
    """Yield the first layer of each setting, with all of its layers."""
    grouped: dict[tuple[str, ...], list[Aligned]] = {}
    for one in found:
        grouped.setdefault(one.setting, []).append(one)
    yield from ((layers[0], layers) for layers in grouped.values())


@dataclass(frozen=True)
class Depth:
    """CKA of a whole setting: the mean over its layers.

    runs: the mean over layers of each run; crops: standard error that the crops leave,
    with its degrees of freedom, None where they were one batch.
    """

    first: Aligned
    estimate: Estimate
    runs: tuple[tuple[tuple[int, ...], float], ...]
    lowest: Aligned
    keys: tuple[str, ...]


def depths(found: Sequence[Aligned]) -> list[Depth]:
    """Return the mean over layers of every setting that has one.

    Layers are seen on the same crops: their errors are taken as wholly correlated, which
    can only widen the interval.
    """
    made = []
    for first, layers in by_setting(found):
        known = [(one, one.estimate) for one in layers if one.estimate is not None]
        if not known:
            continue
        runs = _means(layers)
        lowest = min(known, key=lambda each: each[1].value)[0]
        over = _over([value for _, value in runs], first.against, first.level)
        crops = [one.crops for one, _ in known if one.crops is not None]
        if len(crops) == len(known):
            over = joined(over, _mean_crops(crops, first.level), first.level)
        keys = tuple(dict.fromkeys(key for one in layers for key in one.keys))
        made.append(Depth(first, clipped(over, LIMITS), runs, lowest, keys))
    return made


def _mean_crops(crops: Sequence[Estimate], level: float) -> Estimate:
    spread = float(np.mean([each.spread for each in crops]))
    return crops_estimate(spread, min(each.freedom for each in crops), level)


def _means(
    layers: Sequence[Aligned],
) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Return the mean over layers of every run that has all of them."""
    values: dict[tuple[int, ...], list[float]] = {}
    for one in layers:
        for run, value in one.runs:
            values.setdefault(run, []).append(value)
    whole = max(map(len, values.values()))
    return tuple(
        (run, float(np.mean(some)))
        for run, some in values.items()
        if len(some) == whole
    )


def paired(
    one: Sequence[tuple[tuple[int, ...], float]],
    other: Sequence[tuple[tuple[int, ...], float]],
    *,
    level: float,
) -> Estimate | None:
    """Return one minus other over the seeds and folds that both have; None without any.

    Runs are (seed, fold, pretraining seed); a method without pretraining has no third.
    """
    theirs = {run[:2]: value for run, value in other}
    gaps = [value - theirs[run[:2]] for run, value in one if run[:2] in theirs]
    return over_runs(gaps, level=level) if gaps else None


def notes(evidence: Evidence) -> tuple[str, ...]:
    """Return what has to be said under every table of aligned layers."""
    level = evidence.options.level
    return (
        "Linear CKA with the unbiased estimate of Song et al. over minibatches: 1 is the "
        "same up to rotation and scale, 0 unrelated, slightly below 0 is possible. "
        "'-': the features of a layer are constant.",
        f"Mean over runs (seeds and folds) with a {level:.0%} interval that accounts for "
        "runs, by Student's t, and for crops, by a bootstrap over their batches; the "
        "crops are the same ones in every run and for every method.",
        *about_cells(evidence),
    )
