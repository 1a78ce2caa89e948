"""Where class tokens look: scores of maps by case and run, and the slices kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analyse.estimate import Estimate
from ..analyse.intervals import Floats
from .attention import STATES, State, mean_over_both, runs_of_state
from .evidence import Evidence
from .representation import in_file_order
from .table import budget_order

KIND = "attention_maps"
FILE = "attention_maps.npz"
AUC, INSIDE, MASS = "attention_auc", "attention_top_inside", "attention_top_mass"


@dataclass(frozen=True)
class Looking:
    """The maps of a method, before or after it was fine-tuned.

    label_budget: empty before fine-tuning, which no label has touched; values: by
    quantity, of the mean over heads, a test case per row and a run per column, nan where
    undefined; heads: by quantity, the least and the largest mean of a single head;
    chance: the mask's mean share of a crop, None without masks; node: key of the first
    run, whose slices are shown; keys: of the evaluations.
    """

    analysis: str
    task: str
    protocol: str
    method: str
    encoder: str
    state: State
    label_budget: str
    values: Mapping[str, Floats]
    heads: Mapping[str, tuple[float, float]]
    chance: float | None
    node: str
    keys: tuple[str, ...]

    def estimate(self, quantity: str, *, level: float) -> Estimate | None:
        """Return a quantity's mean over cases and runs, None where it is undefined."""
        return mean_over_both(self.values[quantity], level)

    @property
    def runs(self) -> int:
        """How many runs the numbers are of."""
        return int(self.values[MASS].shape[1])

    @property
    def cases(self) -> int:
        """How many test cases have a mask, or were looked at where none has."""
        scored = np.isfinite(self.values[AUC]).any(axis=1)
        return int(scored.sum()) or int(scored.size)


def looking(evidence: Evidence) -> list[Looking]:
    """Return the maps of every method. Raises UserError where there are none."""
    nodes = evidence.features.nodes(KIND)
    found = [one for state in STATES for one in _of_state(nodes, state, evidence)]
    tasks, methods = in_file_order(evidence)
    return sorted(
        found,
        key=lambda one: (
            tasks.index(one.task), one.protocol, one.analysis,
            budget_order(one.label_budget) if one.label_budget else (-1, 0.0),
            methods.index(one.method),
        ),
    )  # fmt: skip


def _of_state(
    nodes: pd.DataFrame, state: State, evidence: Evidence
) -> Iterator[Looking]:
    """Yield the methods of a state."""
    for place, own in runs_of_state(nodes, state):
        keys = tuple(dict.fromkeys(own.evaluate_key))
        own = own.sort_values(["fold", "seed"], kind="stable")
        own = own.drop_duplicates(["run", "fold"])
        arrays = [evidence.features.arrays(key, FILE) for key in own.key]
        analysis, task, protocol, method, encoder, budget = place
        values, heads = {}, {}
        for name in (AUC, INSIDE, MASS):
            values[name] = _by_case(arrays, own.run, f"{state}.{name}")
            single = _single_heads(arrays, f"{state}.{name}")
            if len(single):
                heads[name] = (float(single.min()), float(single.max()))
        shares = np.concatenate([each["inside"] for each in arrays])
        shares = shares[np.isfinite(shares)]
        yield Looking(
            analysis, task, protocol, method, encoder, state, budget, values, heads,
            float(shares.mean()) if len(shares) else None, str(own.key.iloc[0]), keys,
        )  # fmt: skip


def _by_case(arrays: list[dict[str, np.ndarray]], runs: pd.Series, name: str) -> Floats:
    """Return the mean map's scores, cases by runs; folds have cases of their own."""
    frame = pd.concat(
        [
            pd.DataFrame({"case": each["cases"], "run": run, "value": each[name][:, 0]})
            for each, run in zip(arrays, runs, strict=True)
        ]
    )
    wide = frame.pivot_table("value", "case", "run", dropna=False)
    values: Floats = wide.to_numpy(dtype=np.float64)
    return values


def _single_heads(arrays: list[dict[str, np.ndarray]], name: str) -> Floats:
    """Return the mean over cases of each head of each run; none of a rollout."""
    means = []
    for each in arrays:
        heads = each[name][:, 1:]
        known = np.isfinite(heads).any(axis=1)
        if heads.shape[1] and known.any():
            means.append(heads[known].mean(axis=0))
    return np.concatenate(means) if means else np.array([])
