"""Format `generated`: cases made by a module of the content folder `tasks/`."""

from __future__ import annotations

from types import ModuleType
from typing import cast

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.task import GeneratedFormat, TaskSpec
from ..generated import Generator
from ..raw import RawCase


def _parts(
    generator: ModuleType | None, spec: TaskSpec
) -> tuple[Generator, GeneratedFormat]:
    made = spec.format
    if generator is None or not isinstance(made, GeneratedFormat):
        msg = "a generated dataset needs its generator module"
        raise ValueError(msg)
    return cast(Generator, generator), made


def list_cases(generator: ModuleType | None, spec: TaskSpec) -> list[CaseRef]:
    """Ask the generator for its cases."""
    module, made = _parts(generator, spec)
    return list(module.cases(made.seed, **made.settings))


def read_case(generator: ModuleType | None, spec: TaskSpec, ref: CaseRef) -> RawCase:
    """Ask the generator for the voxels of one case."""
    module, made = _parts(generator, spec)
    raw = module.make(ref, made.seed, **made.settings)
    if raw.image.ndim != 4:
        msg = (
            f"case {ref.case_id!r}: the generator returned an image of shape "
            f"{raw.image.shape}, not (channels, depth, height, width)"
        )
        raise DataError(msg)
    return raw
