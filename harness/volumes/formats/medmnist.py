"""Format `medmnist`: one .npz with {train,val,test}_{images,labels}.

Images are (n, rows, columns[, 3]) or (n, depth, height, width), labels (n, columns).
The sides are the publisher's. Spacing is unknown and counts as 1 mm, the axes stay as
they are. Patients are unknown: each image is its own group. (MedMNIST v2, 2023)
"""

from __future__ import annotations

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...schema.cases import CaseRef, Side
from ...schema.errors import DataError
from ...schema.formats import MedmnistFormat
from ..dataset import Dataset
from ..raw import RawCase
from .voxels import channels_first

_SIDES: tuple[Side, ...] = ("train", "val", "test")
_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """List the images of the three sides with their classes. Raises DataError."""
    path = dataset.place
    form = dataset.spec.format
    assert isinstance(form, MedmnistFormat)
    if dataset.spec.kind == "segmentation":
        msg = f"{path.name}: a MedMNIST file has classes, no label maps"
        raise DataError(msg)
    labelled = dataset.spec.kind == "classification"
    cases = []
    for side in _SIDES:
        labels = _member(path, f"{side}_labels")
        if labelled:
            labels = _column(labels, form, path)
        stamp = _stamp(path, f"{side}_images")
        for index, given in enumerate(labels):
            name = f"{side}_{index:05d}"
            target = int(given) if labelled else None
            cases.append(CaseRef(name, name, target=target, side=side, stamp=stamp))
    return cases


def _column(
    labels: npt.NDArray[Any], form: MedmnistFormat, path: Path
) -> npt.NDArray[Any]:
    """Return one label per image."""
    labels = labels.reshape(len(labels), -1)
    if form.column is None and labels.shape[1] != 1:
        msg = (
            f"{path.name}: has {labels.shape[1]} labels per image; say under 'format' "
            "which is the class: 'column: 0'"
        )
        raise DataError(msg)
    column = form.column or 0
    if column >= labels.shape[1]:
        msg = f"{path.name}: has no label column {column}, but {labels.shape[1]}"
        raise DataError(msg)
    return labels[:, column]


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Return one image of the file, on a grid of 1 mm. Raises DataError."""
    side, _, number = ref.case_id.partition("_")
    path, spec = dataset.place, dataset.spec
    images = _member(path, f"{side}_images")
    if int(number) >= len(images):
        msg = f"{path.name}: has {len(images)} {side} images, but more labels"
        raise DataError(msg)
    name = f"{path.name}, {side} image {int(number)}"
    image = channels_first(images[int(number)], len(spec.channels), spec.dims, name)
    return RawCase(image, None, np.eye(4))


def _member(path: Path, name: str) -> npt.NDArray[Any]:
    try:
        about = path.stat()
        return _array(path, name, about.st_mtime_ns, about.st_size)
    except _DAMAGED as error:
        said = " ".join(str(error).split()).strip("'")
        msg = f"{path.name}: {name} cannot be read, it may be truncated ({said})"
        raise DataError(msg) from None


@lru_cache(maxsize=6)  # the file holds six arrays, each packed as a whole
def _array(path: Path, name: str, changed: int, size: int) -> npt.NDArray[Any]:
    del changed, size  # they tell versions of the file apart
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        array: npt.NDArray[Any] = arrays[name]
    array.flags.writeable = False
    return array


def _stamp(path: Path, name: str) -> str:
    """Return size and CRC-32 of an array, from the directory of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            about = archive.getinfo(f"{name}.npy")
    except _DAMAGED as error:
        msg = f"{path.name}: has no array {name!r} ({error})"
        raise DataError(msg) from None
    return f"{about.file_size}:{about.CRC:08x}"
