"""Format `csv`: a table with a row per case, and the files that it names.

Paths are relative to the table. An image may be a folder with a DICOM series; several
image columns are one channel each. Without a column for patients each case is its own.
"""

from __future__ import annotations

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.formats import CsvFormat
from ..dataset import Dataset
from ..raw import RawCase
from .listing import Stamps
from .table import Table
from .voxels import read_voxels


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """Read the table and stamp the files that it names. Raises DataError."""
    spec = dataset.spec
    assert isinstance(spec.format, CsvFormat)
    table = Table(dataset.place, spec.format.file, spec.format.columns, spec)
    _check_says(table, dataset)
    stamps = Stamps(dataset, table.path)
    cases = [
        CaseRef(
            row.case_id, row.patient or row.case_id, row.images, row.label, row.target,
            row.side, stamps.of((*row.images, row.label)),
        )
        for row in table.rows(stamps)
    ]  # fmt: skip
    stamps.check()
    return cases


def _check_says(table: Table, dataset: Dataset) -> None:
    """Raise DataError where the table lacks what this task needs of every case."""
    spec = dataset.spec
    assert isinstance(spec.format, CsvFormat)
    columns = spec.format.columns
    needed = [*columns.image]
    if spec.kind != "unlabelled":
        needed.append(columns.target if spec.target is not None else columns.label)
    for column in needed:
        if "{" not in column and not table.has(column):
            msg = (
                f"{table.path}: has no column {column!r}; add it, or say under "
                "'columns' of the task's format which it is"
            )
            raise DataError(msg)


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read images and label and check that they are one grid. Raises DataError."""
    return read_voxels(dataset, ref)
