"""Every case of a dataset read once: what is wrong with it, and what it is like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..schema.cases import CaseRef
from ..schema.errors import DataError
from .dataset import Dataset
from .formats import read_case
from .preprocess import prepare

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Inspected:
    """One case: its fault, or its grid and the digests of its channels.

    shape, spacing: of the file, in its own axes, mm; values: smallest and largest voxel;
    structures: label values that occur.
    """

    ref: CaseRef
    fault: str | None = None
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    values: tuple[float, float] = (0.0, 0.0)
    structures: tuple[int, ...] = ()
    contents: tuple[str, ...] = ()


def inspect(
    dataset: Dataset,
    cases: Sequence[CaseRef],
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Inspected]:
    """Read and preprocess all cases, `workers` at a time; return what was found, in order.

    progress: called with (cases done, cases in all). Nothing is written.
    """
    found: list[Inspected] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:  # reading releases the lock
        for done, each in enumerate(
            pool.map(lambda ref: _inspect(dataset, ref), cases), start=1
        ):
            found.append(each)
            if progress is not None:
                progress(done, len(cases))
    return found


def _inspect(dataset: Dataset, ref: CaseRef) -> Inspected:
    try:
        raw = read_case(dataset, ref)
        prepared = prepare(raw, dataset.spec.preprocess, ref.case_id)
    except DataError as error:
        return Inspected(ref, str(error))
    dims = dataset.spec.dims
    return Inspected(
        ref,
        shape=prepared.grid.native_shape[:dims],
        spacing=tuple(round(mm, 4) for mm in prepared.grid.native_spacing[:dims]),
        values=(float(raw.image.min()), float(raw.image.max())),
        structures=()
        if raw.label is None
        else tuple(int(value) for value in np.unique(raw.label) if value),
        contents=prepared.contents,
    )


def twins(found: Sequence[Inspected]) -> list[tuple[str, ...]]:
    """Return groups of cases of different patients with a channel of equal voxels."""
    by_content: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for each in found:
        for content in each.contents:
            by_content[content][each.ref.case_id] = each.ref.group_id
    groups = {
        tuple(sorted(cases))
        for cases in by_content.values()
        if len(set(cases.values())) > 1
    }
    return sorted(groups)
