"""Tables of cases (CSV): which row says what, with every fault by its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...schema.cases import Side
from ...schema.errors import DataError, nearest
from ...schema.formats import Columns
from ...schema.task import TaskSpec
from ..files import stem
from .listing import Stamps, inside
from .names import LeftOut, NotNamed, class_named, side_named

_DEFAULTS = Columns()
_FIELD = re.compile(r"\{([^{}]*)\}")
_DELIMITERS = (",", ";", "\t", "|")


class Row(NamedTuple):
    """What one line says of a case; None where the table does not say."""

    line: int
    case_id: str
    images: tuple[str, ...]
    label: str | None
    target: int | None
    patient: str | None
    side: Side | None


class Table:
    """A CSV file with a line of names at its top, `file` below the folder `root`.

    left_out: ids of the cases that the task's target leaves out, once rows were read.
    Raises DataError where it is no table.
    """

    def __init__(self, root: Path, file: str, columns: Columns, spec: TaskSpec) -> None:
        self.path, self._columns, self._spec = root / file, columns, spec
        self._root = root.absolute()
        self._beside = PurePosixPath(file).parent
        self._names, self._lines = _read(self.path)
        self._check_columns()
        self.left_out: set[str] = set()

    def has(self, column: str) -> bool:
        """Whether the table has a column."""
        return column in self._names

    def rows(self, stamps: Stamps) -> Iterator[Row]:
        """Yield the rows that are not left out; faults are noted in `stamps`."""
        for line, values in self._lines:
            cells = dict(zip(self._names, values, strict=False))
            try:
                if len(values) != len(self._names):
                    msg = f"has {len(values)} fields, not {len(self._names)}"
                    raise NotNamed(msg)
                yield self._row(line, cells)
            except LeftOut:
                continue
            except NotNamed as error:
                stamps.note(f"{self.path}:{line}: {error}")

    def _row(self, line: int, cells: dict[str, str]) -> Row:
        columns, spec = self._columns, self._spec
        images = tuple(
            self._path(each, cells, line)
            for each in columns.image
            if self._says(each, cells)
        )
        patient = cells.get(columns.patient) or None
        if patient is None and self._names_patients:
            msg = (
                f"names no patient under {columns.patient!r}, as other lines do: fill it "
                "in, or it may be on two sides of the split"
            )
            raise NotNamed(msg)
        case_id = self._case(cells, patient, images)
        target = None
        if spec.target is not None and columns.target in cells:
            try:
                target = class_named(cells[columns.target], spec.target, columns.target)
            except LeftOut:
                self.left_out.add(case_id)
                raise
        label = None
        if spec.kind == "segmentation" and self._says(columns.label, cells):
            label = self._path(columns.label, cells, line)
        side = side_named(cells.get(columns.split, ""), columns.split)
        return Row(line, case_id, images, label, target, patient, side)

    def _case(
        self, cells: dict[str, str], patient: str | None, images: Sequence[str]
    ) -> str:
        if self._columns.case is not None:
            case_id = cells[self._columns.case]
        elif patient is not None and self._one_row_each:
            case_id = patient
        else:
            case_id = joined(images[0]) if images else ""
        if not case_id:
            msg = "names no case: fill it in, or say in columns which names it"
            raise NotNamed(msg)
        return case_id

    @cached_property
    def _names_patients(self) -> bool:
        """Whether any line says of which patient it is."""
        return bool(self.has(self._columns.patient) and any(self._patients()))

    def _patients(self) -> list[str]:
        at = self._names.index(self._columns.patient)
        return [values[at] for _, values in self._lines if len(values) > at]

    @cached_property
    def _one_row_each(self) -> bool:
        """Whether no patient has several rows, so that patients name cases."""
        found = self._patients()
        return len(set(found)) == len(found)

    def _says(self, column: str, cells: dict[str, str]) -> bool:
        return "{" in column or column in cells

    def _path(self, column: str, cells: dict[str, str], line: int) -> str:
        text = (
            _FIELD.sub(lambda found: cells[found[1]], column)
            if "{" in column
            else cells[column]
        )
        if not text:
            msg = f"column {column!r} names no file"
            raise NotNamed(msg)
        path = self._beside / text
        if path.is_relative_to(self._root):  # absolute, and within the folder after all
            path = path.relative_to(self._root)
        return inside(str(path), Path(f"{self.path}:{line}"))

    def _check_columns(self) -> None:
        """Raise DataError for a column that is named and not there."""
        named = {
            "case": self._columns.case, "label": self._columns.label,
            "target": self._columns.target, "patient": self._columns.patient,
            "split": self._columns.split,
            **{f"image {n}": each for n, each in enumerate(self._columns.image, 1)},
        }  # fmt: skip
        default = {
            _DEFAULTS.label, _DEFAULTS.target, _DEFAULTS.patient, _DEFAULTS.split,
            *_DEFAULTS.image,
        }  # fmt: skip
        for what, column in named.items():
            if column is None or column in default:
                continue
            used = _FIELD.findall(column) if "{" in column else [column]
            for each in used:
                if each not in self._names:
                    have = ", ".join(self._names)
                    msg = (
                        f"{self.path}: has no column {each!r} for {what}, but "
                        f"{have}.{nearest(each, self._names)}"
                    )
                    raise DataError(msg)


def joined(path: str) -> str:
    """Return a case id of a path: without the ending, its folders joined by '_'.

    >>> joined("train/normal/7.png")
    'train_normal_7'
    """
    return "_".join([*PurePosixPath(path).parts[:-1], stem(path)])


def read_table(path: Path) -> list[dict[str, str]]:
    """Return each row that is not empty as {column: text}. Raises DataError."""
    names, lines = _read(path)
    return [dict(zip(names, values, strict=False)) for _, values in lines]


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of columns, and (line, values) of each row that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        msg = f"{path} is missing: it lists the cases"
        raise DataError(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as UTF-8 text ({error})"
        raise DataError(msg) from None
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    # strict: a quote that is not closed would swallow the lines that follow
    reader = csv.reader(
        text.splitlines(keepends=True), delimiter=delimiter, strict=True
    )
    try:
        names = [name.strip() for name in next(reader, [])]
        lines = [
            (reader.line_num, [value.strip() for value in values])
            for values in reader
            if any(values)
        ]
    except csv.Error as error:
        msg = f"{path}:{reader.line_num}: not a table ({error})"
        raise DataError(msg) from None
    if not names or not lines:
        msg = f"{path}: needs a line with names of columns and a line per case"
        raise DataError(msg)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"{path}: column {twice[0]!r} stands twice"
        raise DataError(msg)
    return names, lines
