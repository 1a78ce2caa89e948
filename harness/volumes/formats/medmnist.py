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
from numpy.lib import format as npy

from ...schema.cases import CaseRef, Side
from ...schema.errors import DataError
from ...schema.formats import MedmnistFormat
from ...schema.task import TaskSpec
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
        labels = np.atleast_1d(_member(path, f"{side}_labels"))
        stamp = _stamp(path, f"{side}_images")
        _check_images(path, side, len(labels), dataset.spec)
        targets = _whole(_column(labels, form, path), path, side) if labelled else None
        for index in range(len(labels)):
            name = f"{side}_{index:05d}"
            target = None if targets is None else int(targets[index])
            cases.append(CaseRef(name, name, target=target, side=side, stamp=stamp))
    return cases


def _check_images(path: Path, side: Side, labels: int, spec: TaskSpec) -> None:
    """Raise DataError where images are not as many as labels, or not as the task's."""
    shape = _shape(path, f"{side}_images")
    if not shape or shape[0] != labels:
        found = shape[0] if shape else 0
        msg = f"{path.name}: has {found} {side} images, but {labels} {side} labels"
        raise DataError(msg)
    name = f"{path.name}, {side} images"
    channels = len(spec.channels)
    if spec.dims == 3 and channels == 1 and shape[3:] == (3,):
        msg = (
            f"{name}: are {shape[1]} x {shape[2]} in colour: set 'dims: 2' and "
            "'channels: [red, green, blue]' in the task file"
        )
        raise DataError(msg)
    blank = np.broadcast_to(np.uint8(0), shape[1:])
    found = channels_first(blank, channels, spec.dims, name).shape[0]
    if found != channels:
        msg = f"{name}: have {found} channels, but the task declares {channels}"
        raise DataError(msg)


def _whole(labels: npt.NDArray[Any], path: Path, side: Side) -> npt.NDArray[Any]:
    """Return labels that are whole numbers, of whatever type. Raises DataError."""
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        numbers = np.full(len(labels), np.nan)
    bad = np.flatnonzero(~(numbers == np.rint(numbers)))
    if bad.size or not np.isfinite(numbers).all():
        at = int(bad[0]) if bad.size else int(np.flatnonzero(~np.isfinite(numbers))[0])
        msg = (
            f"{path.name}: {side} label {at} is {labels[at]}, not the whole number of a "
            "class; correct the file"
        )
        raise DataError(msg)
    return numbers


def _column(
    labels: npt.NDArray[Any], form: MedmnistFormat, path: Path
) -> npt.NDArray[Any]:
    """Return one label per image."""
    labels = labels.reshape(len(labels), -1) if labels.size else labels[:, None]
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
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        array: npt.NDArray[Any] = npy.read_array(member, allow_pickle=False)
    array.flags.writeable = False
    return array


def _shape(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of an array, from the first bytes of it."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            read = {
                (1, 0): npy.read_array_header_1_0,
                (2, 0): npy.read_array_header_2_0,
            }
            shape: tuple[int, ...] = read[npy.read_magic(member)](member)[0]
            return shape
    except _DAMAGED as error:
        msg = f"{path.name}: {name} cannot be read, it may be truncated ({error})"
        raise DataError(msg) from None


def _stamp(path: Path, name: str) -> str:
    """Return size and CRC-32 of an array, from the directory of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            about = archive.getinfo(f"{name}.npy")
    except _DAMAGED as error:
        msg = f"{path.name}: has no array {name!r} ({error})"
        raise DataError(msg) from None
    return f"{about.file_size}:{about.CRC:08x}"
