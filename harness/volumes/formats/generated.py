"""Format `generated`: cases made by a module of the content folder `tasks/`."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.formats import GeneratedFormat
from ..dataset import Dataset
from ..generated import Generator
from ..raw import RawCase


def _parts(dataset: Dataset) -> tuple[Generator, GeneratedFormat]:
    made = dataset.spec.format
    if dataset.generator is None or not isinstance(made, GeneratedFormat):
        msg = "a generated dataset needs its generator module"
        raise ValueError(msg)
    return cast(Generator, dataset.generator), made


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """Ask the generator for its cases."""
    module, made = _parts(dataset)
    return list(module.cases(made.seed, **made.settings))


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Ask the generator for the voxels of one case."""
    module, made = _parts(dataset)
    raw = module.make(ref, made.seed, **made.settings)
    if raw.image.ndim != dataset.spec.dims + 1:
        sides = "depth, height, width" if dataset.spec.dims == 3 else "rows, columns"
        msg = (
            f"case {ref.case_id!r}: the generator returned an image of shape "
            f"{raw.image.shape}, not (channels, {sides})"
        )
        raise DataError(msg)
    if dataset.spec.kind == "unlabelled":
        return replace(raw, label=None)
    return raw
