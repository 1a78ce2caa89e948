"""Structures in groups, and structures that two tasks share (METHODS 4.7 and 4.8).

Rows of structure scores have the columns cell (place in layout.cells), case_id,
group_id (patient), structure and score (null where it is left out).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

from .estimate import Estimate, estimate, weighted_sum
from .intervals import two_way
from .multiplicity import adjust
from .paired import unit_means
from .scores import Layout, Stacked, stack
from .unpaired import Samples, mann_whitney


@lru_cache(maxsize=1)
def _groups() -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    text = files(__package__).joinpath("organ_groups.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    groups = {name: frozenset(words) for name, words in data["groups"].items()}
    return frozenset(data["never"]), groups


def organ_groups(structures: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Sort structures into the groups of organ_groups.yaml; empty groups are left out.

    >>> organ_groups(["left_kidney", "kidney_tumour", "aorta"])
    {'large': ('left_kidney',), 'tumour': ('kidney_tumour',)}
    """
    never, groups = _groups()
    found: dict[str, list[str]] = {}
    for structure in structures:
        words = set(re.split(r"[^a-z]+", structure.lower()))
        words |= {word.removesuffix("s") for word in words}
        for name, wanted in groups.items():
            if words & wanted and not words & (never - wanted):
                found.setdefault(name, []).append(structure)
    return {name: tuple(found[name]) for name in groups if name in found}


def group_rows(rows: pd.DataFrame, members: Iterable[str]) -> pd.DataFrame:
    """Return case rows whose mean over cases is the equal-weight mean of structures.

    Each structure's score is its mean over the cases that have it, and each structure
    counts alike. A case's value is that mean plus the case's influence on it, so that
    intervals and differences of the values are those of the mean. The result has the
    columns of `harness.analyse.scores.stack`.
    """
    mine = rows[rows.structure.isin(list(members)) & rows.score.notna()]
    of_structure = mine.groupby(["cell", "structure"], sort=False).score
    mean, count = of_structure.transform("mean"), of_structure.transform("size")
    first = mine.drop_duplicates(["cell", "structure"])
    centre = mean[first.index].groupby(first.cell).mean()
    by_cell = mine.groupby("cell", sort=False)
    structures = by_cell.structure.transform("nunique")
    cases = by_cell.case_id.transform("nunique")
    pull = (mine.score - mean) * cases / (count * structures)
    found = (
        mine.assign(pull=pull)
        .groupby(["cell", "case_id"], sort=False)
        .agg(group_id=("group_id", "first"), pull=("pull", "sum"))
        .reset_index()
    )
    found["score"] = found.pull + found.cell.map(centre)
    return found.drop(columns="pull").assign(misses=0, false_alarms=0, failed=0)


def stack_structures(
    rows: pd.DataFrame, layout: Layout
) -> dict[str, dict[str, Stacked]]:
    """Arrange the scores of each structure: by structure, then by task."""
    plain = rows.assign(misses=0, false_alarms=0, failed=0)
    return {
        str(structure): stack(mine.drop(columns="structure"), layout)
        for structure, mine in plain.groupby("structure", sort=True, observed=True)
    }


@dataclass(frozen=True)
class Shift:
    """A structure's score on one task minus that on another, for one method.

    The tasks have different patients, so variances add up; p is that of Mann-Whitney's
    test over patients' means over seeds, None where undefined; adjusted: Holm over all
    shifts of the answer.
    """

    structure: str
    method: str
    encoder: str
    protocol: str
    label_budget: str
    difference: Estimate
    p: float | None
    adjusted: float | None


def shifts(
    by_structure: Mapping[str, Mapping[str, Stacked]],
    layout: Layout,
    task: str,
    other: str,
    *,
    level: float = 0.95,
) -> list[Shift]:
    """Return the shift of every structure that both tasks have, method by method.

    by_structure: from `stack_structures`. Of groups that differ in label budget only
    those with the same text are compared.
    """
    found = []
    for structure, tasks in by_structure.items():
        if task not in tasks or other not in tasks:
            continue
        one, two = _named(tasks[task], layout), _named(tasks[other], layout)
        for name in one:
            if name in two:
                parts = (tasks[task], one[name]), (tasks[other], two[name])
                shift = _shift(structure, name, parts, level)
                if shift is not None:
                    found.append(shift)
    p = np.array([1.0 if each.p is None else each.p for each in found])
    defined = np.array([each.p is not None for each in found], dtype=bool)
    return [
        Shift(**{**vars(each), "adjusted": float(value) if known else None})
        for each, value, known in zip(found, adjust(p, defined), defined, strict=True)
    ]


Name = tuple[str, str, str, str]


def _named(stacked: Stacked, layout: Layout) -> dict[Name, int]:
    rows = layout.groups.loc[stacked.groups]
    names = zip(
        rows.method, rows.encoder, rows.protocol, rows.label_budget, strict=True
    )
    return {name: place for place, name in enumerate(names)}


def _shift(
    structure: str,
    name: Name,
    parts: tuple[tuple[Stacked, int], tuple[Stacked, int]],
    level: float,
) -> Shift | None:
    scores = [stacked.scores.take(np.array([place])) for stacked, place in parts]
    means = [estimate(two_way(one, level=level)) for one in scores]
    if means[0] is None or means[1] is None:
        return None
    difference = weighted_sum([means[0], means[1]], [1.0, -1.0], level=level)
    samples = [Samples(*unit_means(one)) for one in scores]
    p, defined = mann_whitney(*samples)
    value = float(p[0]) if defined[0] else None
    method, encoder, protocol, budget = name
    return Shift(structure, method, encoder, protocol, budget, difference, value, None)
