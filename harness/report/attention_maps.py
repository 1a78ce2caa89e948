"""Where class tokens look: scores of maps by case and run, and the slices kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analyse.estimate import SHARE, Estimate, Limits, of_difference
from ..analyse.intervals import Floats
from ..metrics.maps import TOP
from .attention import (
    STATES,
    State,
    later_and_earlier,
    mean_over_both,
    runs_of_state,
)
from .evidence import Evidence
from .representation import in_file_order
from .table import budget_order

KIND = "attention_maps"
FILE = "attention_maps.npz"
AUC, INSIDE, MASS = "attention_auc", "attention_top_inside", "attention_top_mass"
# The tenth of the voxels with the most attention has a tenth of it at least.
LIMITS: Mapping[str, Limits] = {AUC: SHARE, INSIDE: SHARE, MASS: (TOP, 1.0)}
WHOLE = "all"  # structures, as one mask
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Looking:
    """The maps of a method, before or after it was fine-tuned.

    label_budget: empty before fine-tuning, which no label has touched; structure: which
    one the mask is of, or WHOLE; values: by quantity, of the mean over heads, a test case
    per row and a run per column, nan where undefined; heads: by quantity, the least and
    the largest mean of a single head, of WHOLE alone; chance: the mask's mean share of
    the crops that are scored, None without masks; node: key of the first run, whose
    slices are shown; keys: of the evaluations.
    """

    analysis: str
    task: str
    protocol: str
    method: str
    encoder: str
    state: State
    label_budget: str
    structure: str
    values: Mapping[str, pd.DataFrame]
    heads: Mapping[str, tuple[float, float]]
    chance: float | None
    node: str
    keys: tuple[str, ...]

    def estimate(self, quantity: str, *, level: float) -> Estimate | None:
        """Return a quantity's mean over cases and runs, None where it is undefined."""
        found = self.values.get(quantity)
        if found is None:
            return None
        return mean_over_both(_numbers(found), level, LIMITS[quantity])

    @property
    def place(self) -> tuple[str, ...]:
        """What methods have to share to be compared."""
        return (
            self.analysis, self.task, self.protocol, self.state, self.label_budget,
            self.structure,
        )  # fmt: skip

    @property
    def runs(self) -> int:
        """How many runs the numbers are of."""
        return int(self.values[AUC].shape[1])

    @property
    def cases(self) -> int:
        """How many test cases have a mask, or were looked at where none has."""
        scored = self.values[AUC].notna().any(axis=1)
        return int(scored.sum()) or int(scored.size)


def looking(evidence: Evidence, *, structures: bool = False) -> list[Looking]:
    """Return the maps of every method: of all structures as one mask, or of each.

    Raises UserError where there are none.
    """
    nodes = evidence.features.nodes(KIND)
    found: list[Looking] = []
    for state in STATES:
        for place, own in runs_of_state(nodes, state):
            found += _of_runs(place, own, state, evidence, structures=structures)
    return _sorted(found, evidence)


def _sorted(found: Sequence[Looking], evidence: Evidence) -> list[Looking]:
    tasks, methods = in_file_order(evidence)
    return sorted(
        found,
        key=lambda one: (
            tasks.index(one.task), one.protocol, one.analysis,
            budget_order(one.label_budget) if one.label_budget else (-1, 0.0),
            methods.index(one.method),
        ),
    )  # fmt: skip


def _of_runs(
    place: Sequence[str], own: pd.DataFrame, state: State, evidence: Evidence, *,
    structures: bool,
) -> Iterator[Looking]:  # fmt: skip
    """Yield a method's maps in runs `own`: against all masks at once, or each alone."""
    keys = tuple(dict.fromkeys(own.evaluate_key))
    own = own.sort_values(["fold", "seed"], kind="stable")
    own = own.drop_duplicates(["run", "fold"])
    arrays = [evidence.features.arrays(key, FILE) for key in own.key]
    names: Mapping[str, int | None] = {WHOLE: None}
    if structures:
        every = (each["structures"] for each in arrays if "structures" in each)
        names = {str(name): at for some in every for at, name in enumerate(some)}
    analysis, task, protocol, method, encoder, budget = place
    for name, at in names.items():
        quantities = (AUC, INSIDE, MASS) if at is None else (AUC, INSIDE)
        values = {
            quantity: _by_case(arrays, own.run, f"{state}.{quantity}", at)
            for quantity in quantities
        }
        heads = {} if at is not None else dict(_range_of_heads(arrays, state))
        shares = np.concatenate([_column(each, "inside", at) for each in arrays])
        shares = shares[np.isfinite(shares) & (shares > 0) & (shares < 1)]
        yield Looking(
            analysis, task, protocol, method, encoder, state, budget, name, values,
            heads, float(shares.mean()) if len(shares) else None,
            str(own.key.iloc[0]), keys,
        )  # fmt: skip


def _column(arrays: Arrays, name: str, structure: int | None) -> Floats:
    """Return a number per case: of the mean map against all masks, or one structure's.

    nan where an analysis was made before structures were kept.
    """
    if structure is None:
        found = arrays[name]
        return found[:, 0] if found.ndim == 2 else found
    kept = arrays.get(f"{name}.structures")
    return np.full(len(arrays["cases"]), np.nan) if kept is None else kept[:, structure]


def _by_case(
    arrays: Sequence[Arrays], runs: pd.Series, name: str, structure: int | None
) -> pd.DataFrame:
    """Return the mean map's scores, cases by runs; folds have cases of their own."""
    frame = pd.concat(
        [
            pd.DataFrame(
                {"case": each["cases"], "run": run,
                 "value": _column(each, name, structure)}
            )
            for each, run in zip(arrays, runs, strict=True)
        ]
    )  # fmt: skip
    return frame.pivot_table("value", "case", "run", dropna=False)


def _numbers(frame: pd.DataFrame) -> Floats:
    values: Floats = frame.to_numpy(dtype=np.float64)
    return values


def _range_of_heads(
    arrays: Sequence[Arrays], state: State
) -> Iterator[tuple[str, tuple[float, float]]]:
    for name in (AUC, INSIDE, MASS):
        single = _single_heads(arrays, f"{state}.{name}")
        if len(single):
            yield name, (float(single.min()), float(single.max()))


def _single_heads(arrays: Sequence[Arrays], name: str) -> Floats:
    """Return the mean over cases of each head of each run; none of a rollout."""
    means = []
    for each in arrays:
        heads = each[name][:, 1:]
        known = np.isfinite(heads).any(axis=1)
        if heads.shape[1] and known.any():
            means.append(heads[known].mean(axis=0))
    return np.concatenate(means) if means else np.array([])


@dataclass(frozen=True)
class LooksApart:
    """Maps of one minus those of another, paired by case and by run.

    other: of another method in the same state, or of the same one before fine-tuning.
    """

    one: Looking
    other: Looking
    auc: Estimate | None
    inside: Estimate | None
    cases: int
    runs: int


def between_methods(found: Sequence[Looking], *, level: float) -> Iterator[LooksApart]:
    """Yield every pair of methods in a place, the later in the file minus the earlier."""
    for one, other in later_and_earlier(found):
        yield _apart(one, other, level)


def over_fine_tuning(
    evidence: Evidence, *, structures: bool, level: float
) -> Iterator[LooksApart]:
    """Yield each method after fine-tuning minus itself before it, run by run."""
    made: list[tuple[Looking, Looking]] = []
    for place, own in runs_of_state(evidence.features.nodes(KIND), "after"):
        both = (
            _of_runs(place, own, state, evidence, structures=structures)
            for state in ("after", "before")
        )
        made += zip(*both, strict=True)
    of = {id(one): before for one, before in made}
    for one in _sorted([one for one, _ in made], evidence):
        yield _apart(one, of[id(one)], level)


def _apart(one: Looking, other: Looking, level: float) -> LooksApart:
    """Pair what both have: a case or a run of one alone is left out."""
    gaps = {
        name: one.values[name].sub(other.values[name]).dropna(how="all")
        for name in (AUC, INSIDE)
    }
    gaps = {name: gap.dropna(how="all", axis=1) for name, gap in gaps.items()}
    cases, runs = gaps[AUC].shape
    auc, inside = (
        mean_over_both(_numbers(gap), level, of_difference(LIMITS[name]))
        for name, gap in gaps.items()
    )
    return LooksApart(one, other, auc, inside, cases, runs)
