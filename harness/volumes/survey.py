"""What a person's own table of cases holds: enough to write a task file for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..schema.budget import TaskKind
from ..schema.errors import DataError
from .files import PICTURES, read_file, suffix
from .files.drawn import is_drawn
from .formats.names import is_validation
from .formats.table import read_table
from .grid import plan_grid

SAMPLE = 30  # images that spacing and intensities are taken from, spread over the table
FEWEST = 6  # cases that can be trained, validated and tested on (chosen here)
_HOUNSFIELD = -200  # air, and with it CT, is far below; no MRI is (chosen here)
_COLOURS = ("red", "green", "blue")
_IMAGE = "image"


@dataclass(frozen=True)
class Survey:
    """What was found. columns: those with images, one per channel or one for all.

    validated: whether its split names validation cases; unclassed: whether some rows say
    no class, and are left out; values: of the label maps, ascending, without 0; classes:
    of the column `target`, by number of cases; spacing: median mm, canonical; window: 0.5
    and 99.5 percentile of the voxels, within structures where there are any.
    """

    path: Path
    kind: TaskKind
    dims: Literal[2, 3]
    columns: tuple[str, ...]
    channels: tuple[str, ...]
    cases: int
    patients: int
    split: bool
    validated: bool
    case: bool
    unclassed: bool
    values: tuple[int, ...]
    classes: tuple[str, ...]
    fewest: int
    spacing: tuple[float, ...] | None
    window: tuple[float, float]
    is_ct: bool


def survey(path: Path) -> Survey:
    """Read a table and the images that it names.

    Columns: `image`, or several that begin so, one per channel; `label` (a path to a
    label map) or `target` (a class); if you have them, `patient`, `split`, `case`.
    Raises DataError for a table that lacks what is needed, and an image or label that
    cannot be read.
    """
    rows = read_table(path)
    if len(rows) < FEWEST:
        msg = (
            f"{path}: lists {len(rows)} cases; with fewer than {FEWEST} nothing is told"
        )
        raise DataError(msg)
    names = tuple(rows[0])
    columns = tuple(name for name in names if name.startswith(_IMAGE))
    if not columns or not ({"label", "target"} & set(names)):
        msg = (
            f"{path}: needs a column 'image' with paths of images, and 'label' with paths "
            f"of label maps or 'target' with classes; it has {', '.join(names) or 'none'}"
        )
        raise DataError(msg)
    kind: TaskKind = "segmentation" if "label" in names else "classification"
    images = _images(path, rows, columns)
    values = _values(path.parent, rows) if kind == "segmentation" else ()
    counts = _counted(path, rows) if kind == "classification" else {}
    low, high = (float(v) for v in np.percentile([i.ends for i in images], (0, 100)))
    first = images[0]
    return Survey(
        path=path,
        kind=kind,
        dims=first.dims,
        columns=columns,
        channels=_channels(columns, first),
        cases=sum(counts.values()) if counts else len(rows),
        unclassed=bool(counts) and sum(counts.values()) < len(rows),
        patients=len({row.get("patient") or str(i) for i, row in enumerate(rows)}),
        split=any(row.get("split") for row in rows),
        validated=any(is_validation(row.get("split", "")) for row in rows),
        case="case" in names,
        values=values,
        classes=tuple(counts),
        fewest=min(counts.values(), default=0),
        spacing=_median(images),
        window=(low, high),
        is_ct=low < _HOUNSFIELD,
    )


def _images(
    path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str]
) -> list[_Image]:
    """Return SAMPLE images, spread over the table, which must be of one kind."""
    for number, row in enumerate(rows, start=1):
        if not all(row.get(column) for column in columns):
            msg = f"{path}: case {number} of the table names no image"
            raise DataError(msg)
    chosen = rows[:: max(1, -(-len(rows) // SAMPLE))]
    images = [_Image.read(path.parent, row, columns) for row in chosen]
    for image, row in zip(images, chosen, strict=True):
        if (image.dims, image.last) != (images[0].dims, images[0].last):
            msg = (
                f"{row[columns[0]]}: has {image.dims} dimensions and {image.last} "
                f"channels, but {chosen[0][columns[0]]} has {images[0].dims} and "
                f"{images[0].last}: all images of a task are of one kind"
            )
            raise DataError(msg)
    return images


@dataclass(frozen=True)
class _Image:
    dims: Literal[2, 3]
    last: int  # channels that the file itself holds
    spacing: tuple[float, ...] | None
    ends: tuple[float, float]

    @classmethod
    def read(cls, folder: Path, row: dict[str, str], columns: Sequence[str]) -> _Image:
        name = row[columns[0]]
        stored = read_file(folder / name, name)
        voxels = stored.voxels
        picture = suffix(name) in PICTURES
        dims: Literal[2, 3] = 2 if picture or voxels.ndim == 2 else 3
        last = 1 if voxels.ndim == dims else int(voxels.shape[-1])
        spacing = None
        if dims == 3:
            spacing = plan_grid(voxels.shape[:3], stored.affine, None).spacing
        low, high = (float(v) for v in np.percentile(voxels, (0.5, 99.5)))
        return cls(dims, last, spacing, (low, high))


def _channels(columns: Sequence[str], image: _Image) -> tuple[str, ...]:
    if len(columns) > 1:
        return tuple(name.removeprefix(_IMAGE).strip("_- ") or name for name in columns)
    if image.dims == 2 and image.last == len(_COLOURS):
        return _COLOURS
    return (
        tuple(f"channel{n}" for n in range(image.last))
        if image.last > 1
        else ("image",)
    )


def _values(folder: Path, rows: Sequence[dict[str, str]]) -> tuple[int, ...]:
    found: set[int] = set()
    for number, row in enumerate(rows, start=1):
        if not row.get("label"):
            msg = f"{folder}: case {number} of the table names no label map"
            raise DataError(msg)
        path = folder / row["label"]
        if is_drawn(path):
            msg = (
                f"{path}: contours and DICOM segmentations need names for their values: "
                "write the task file by hand, with 'segments' (docs/formats.md)"
            )
            raise DataError(msg)
        voxels: npt.NDArray[Any] = read_file(path, row["label"]).voxels
        values = np.unique(voxels)
        if (
            not (values == np.floor(values)).all()
            or values.min() < 0
            or values.max() > 255
        ):
            msg = f"{path}: a label map has whole numbers from 0 to 255"
            raise DataError(msg)
        found |= {int(value) for value in values}
    if not found - {0}:
        msg = f"{folder}: every label map is empty, so there is nothing to learn"
        raise DataError(msg)
    return tuple(sorted(found - {0}))


def _counted(path: Path, rows: Sequence[dict[str, str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        name = row.get("target", "").strip()
        if name:  # a case without a class is left out
            counts[name] = counts.get(name, 0) + 1
    if len(counts) < 2:
        said = ", ".join(counts) or "nothing"
        msg = (
            f"{path}: the column 'target' says {said} of every case: a task needs two "
            "classes"
        )
        raise DataError(msg)
    if 2 * len(counts) > sum(counts.values()):
        msg = (
            f"{path}: the column 'target' names {len(counts)} classes for "
            f"{sum(counts.values())} cases: sort them into fewer, numbers into bins"
        )
        raise DataError(msg)
    return dict(sorted(counts.items()))


def _median(images: Sequence[_Image]) -> tuple[float, ...] | None:
    found = [image.spacing for image in images if image.spacing is not None]
    if not found:
        return None
    return tuple(round(float(mm), 2) for mm in np.median(found, axis=0))
