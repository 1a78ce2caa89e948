"""Datasets as their publishers store them: open, list, read, fingerprint.

A format is one module here, of the name that task files call it by, with
`list_cases(dataset)` and `read_case(dataset, ref)`; what every format must guarantee is
checked once, in this file and `checks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.formats import GeneratedFormat
from ...schema.identity import digest
from ...schema.task import TaskSpec
from ..dataset import Dataset
from ..faults import gathered
from ..generated import check_generator
from ..raw import RawCase
from .checks import check_case
from .listing import MISSING

__all__ = [
    "Dataset",
    "RawCase",
    "fingerprint",
    "list_cases",
    "open_dataset",
    "read_case",
]

# Raised when the same files and settings would give other voxels in the cache.
PREPROCESS_VERSION = 1


class _Format(Protocol):
    def list_cases(self, dataset: Dataset) -> list[CaseRef]: ...

    def read_case(self, dataset: Dataset, ref: CaseRef) -> RawCase: ...


def _format(spec: TaskSpec) -> _Format:
    return cast(_Format, import_module(f"{__name__}.{spec.format.kind}"))


def open_dataset(
    name: str,
    spec: TaskSpec,
    data_roots: Sequence[Path],
    generator: ModuleType | None = None,
) -> Dataset:
    """Find the dataset of task `name`. Reads no file.

    data_roots: folders that may hold it, the first that does wins.
    Raises DataError that names every place looked in and how to get the data.
    """
    if isinstance(spec.format, GeneratedFormat):
        check_generator(name, generator, spec.format)
        return Dataset(name, spec, None, generator)
    place = spec.format.place
    for root in data_roots:
        if (root / place).exists():
            return Dataset(name, spec, root / place)
    places = ", ".join(str(root / place) for root in data_roots)
    looked = f"looked for {places}" if places else "no data folder is set"
    msg = f"the data of task {name!r} is missing ({looked}); {_how_to_get(name, spec)}"
    raise DataError(msg)


def _how_to_get(name: str, spec: TaskSpec) -> str:
    if spec.source.how:
        return spec.source.how
    fetch = f"run `harness data fetch {name}`" if spec.source.files else "download it"
    return (
        f"{fetch} from {spec.source.page}, or point data_root or MEDSSL_DATA to the "
        "folder that holds it"
    )


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """List the labelled cases, sorted by case id, without reading voxels.

    Raises DataError for a listing that cannot be read, files that are missing, ids that
    occur twice, and a count other than the task declares (fewer need allow_partial);
    where the dataset collects faults, they are noted there, and the cases that are left
    are returned.
    """
    name, spec = dataset.name, dataset.spec
    listed = _format(spec).list_cases(dataset)
    cases = sorted(listed, key=lambda ref: ref.case_id)
    ids = [ref.case_id for ref in cases]
    if doubles := sorted({one for one, two in pairwise(ids) if one == two}):
        msg = f"dataset {name!r} lists case {doubles[0]!r} more than once"
        _refuse(dataset, [msg])
    if faults := [fault for ref in cases if (fault := _target_fault(spec, ref))]:
        _refuse(dataset, faults)
    if len(cases) > spec.cases:
        msg = (
            f"dataset {name!r} has {len(cases)} cases, more than the {spec.cases} that "
            "the task declares: correct 'cases' in the task file"
        )
        _refuse(dataset, [msg])
    if len(cases) < spec.cases and not (spec.allow_partial and cases):
        msg = (
            f"dataset {name!r} has {len(cases)} of the {spec.cases} cases that the "
            "task declares: complete it"
            + (", or set allow_partial: true to use what is there" if cases else "")
        )
        _refuse(dataset, [msg])
    return [ref for ref in cases if MISSING not in (ref.stamp or "").split(",")]


def _refuse(dataset: Dataset, faults: list[str]) -> None:
    if dataset.noted is None:
        raise gathered(dataset.name, faults)
    dataset.noted.extend(faults)


def _target_fault(spec: TaskSpec, ref: CaseRef) -> str | None:
    if spec.kind != "classification":
        return None
    if ref.target is None:
        return f"case {ref.case_id!r} has no class, which a classification task needs"
    if not 0 <= ref.target < spec.classes:
        return (
            f"case {ref.case_id!r} has class {ref.target}, not 0 to {spec.classes - 1}"
        )
    return None


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read the voxels of one case and check them.

    Raises DataError that names the file (or the case, where it is generated) for a file
    that is missing or truncated, a wrong number of dimensions or channels, a label of
    another shape or affine, a label value outside the classes, NaN or infinite voxels.
    """
    raw = _format(dataset.spec).read_case(dataset, ref)
    where = ref.images[0] if ref.images else f"case {ref.case_id!r}"
    what = ref.label or where
    check_case(raw, dataset.spec, image_name=where, label_name=what)
    return raw


def fingerprint(dataset: Dataset, cases: Sequence[CaseRef]) -> str:
    """Return the sha256 (64 hex digits) of all that decides cached voxels and targets.

    Enters: format, relative paths and stamps, classes, channels, preprocessing. Not:
    where the data lies, the task's name, split, metrics, crop sizes, order of cases.
    """
    spec = dataset.spec
    return digest(
        {
            "version": PREPROCESS_VERSION,
            "format": spec.format.model_dump(mode="json"),
            "dims": spec.dims,
            "channels": list(spec.channels),
            "structures": dict(spec.structures),
            "preprocess": spec.preprocess.model_dump(mode="json"),
            "cases": sorted(
                [ref.case_id, list(ref.images), ref.label, ref.target, ref.stamp]
                for ref in cases
            ),
        }
    )
