"""CKA of layers with their namesakes, over seeds and crops, from rows of analyses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..analyse.estimate import Estimate, over_runs, shifted, weighted_sum
from ..analyse.intervals import quantile
from ..schema.identity import short
from .evidence import Evidence
from .table import budget_order

PAIR = (
    " | "  # joins the names of two different layers (harness.run.represent.alignment)
)
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
    runs: value per seed and fold; samples: crops; nodes: keys of the analyses.
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


def aligned(evidence: Evidence, kind: str) -> list[Aligned]:
    """Return every layer of every setting of an analysis by CKA, in order.

    Raises UserError where there are none.
    """
    rows = evidence.features.rows(kind)
    own = rows[~rows.layer.str.contains(PAIR, regex=False)]
    own = own.assign(against=own.against.fillna(""))
    found = [
        _of_layer(setting, layer, some, evidence.options.level)
        for (*setting, layer), some in own.groupby([*SETTING, "layer"], sort=False)
    ]
    methods = list(dict.fromkeys(evidence.scope.cells.method))
    tasks = list(dict.fromkeys(evidence.scope.cells.task))
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
    values = rows[rows.quantity == "cka"].dropna(subset="value")
    run_columns = values[["seed", "fold", "pretraining_seed"]].fillna(-1).astype(int)
    runs = zip(map(tuple, run_columns.to_numpy().tolist()), values.value, strict=True)
    keys = rows.evaluate_key
    if rows.other_evaluate_key.notna().any():
        keys = pd.concat([keys, rows.other_evaluate_key])
    analysis, task, protocol, method, encoder, budget, against = setting
    return Aligned(
        analysis, task, protocol, method, encoder, budget, against, layer,
        _estimate(rows, list(values.value), level),
        int(values.n.min()) if len(values) else 0,
        tuple((tuple(run), float(value)) for run, value in runs),
        tuple(map(short, dict.fromkeys(keys.dropna()))),
    )  # fmt: skip


def _estimate(
    rows: pd.DataFrame, values: Sequence[float], level: float
) -> Estimate | None:
    """Return the mean over runs with what runs and crops leave in doubt.

    Runs vary about their mean; the crops are the same ones in every run, so their
    standard error does not shrink with the number of runs. An analysis of one batch of
    crops says nothing of them.
    """
    if not values:
        return None
    over_seeds = over_runs(values, level=level)
    over_crops = _crops(rows, level)
    if over_crops is None:
        return over_seeds
    if over_seeds.low is None:
        return shifted(over_crops, over_seeds.value)
    return weighted_sum([over_seeds, over_crops], [1.0, 1.0], level=level)


def _crops(rows: pd.DataFrame, level: float) -> Estimate | None:
    """Return the doubt from crops alone, about 0: half the intervals of the rows."""
    ends = {
        name: rows[rows.quantity == name].dropna(subset="value")
        for name in ("cka_low", "cka_high")
    }
    low, high = ends["cka_low"], ends["cka_high"]
    if not len(low) or len(low) != len(high):
        return None
    batches = max(float(low.n.min()), 2.0)
    normal = float(quantile(np.array([np.inf]), _OF_ROWS)[0])
    spread = float((high.value.mean() - low.value.mean()) / 2 / normal)
    half = float(quantile(np.array([batches - 1]), level)[0]) * spread
    return Estimate(0.0, -half, half, spread, batches - 1, 0, 1)


def by_setting(found: Sequence[Aligned]) -> Iterator[tuple[Aligned, list[Aligned]]]:
    """Yield the first layer of each setting, with all of its layers."""
    grouped: dict[tuple[str, ...], list[Aligned]] = {}
    for one in found:
        grouped.setdefault(one.setting, []).append(one)
    yield from ((layers[0], layers) for layers in grouped.values())
