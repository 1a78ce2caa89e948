"""One case from its files: channels put together, the label on the image's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.task import TaskSpec
from ..dataset import Dataset
from ..files import Stored, read_file
from ..files.drawn import is_drawn, read_drawn
from ..raw import RawCase
from .checks import check_affine, check_label, check_same_affine, check_same_shape

_ROUNDED = 1e-3  # a label this near a whole number was scaled in 32 bits


def read_voxels(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read the images and the label of a case and check that they are one grid.

    One image holds all channels, or each image one. Raises DataError.
    """
    spec, root = dataset.spec, dataset.place
    image, affine = _image(root, ref.images, spec)
    if ref.label is None:
        return RawCase(image, None, affine)
    label = _label(root, ref.label, spec, image.shape[1:], affine, ref.images[0])
    return RawCase(image, label, affine)


def _image(
    root: Path, names: tuple[str, ...], spec: TaskSpec
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return (C, *sides) and the affine of the first file."""
    each = len(spec.channels) if len(names) == 1 else 1
    parts: list[npt.NDArray[np.float32]] = []
    affine = np.eye(4)
    for number, name in enumerate(names):
        stored = read_file(root / name, name)
        part = channels_first(stored.voxels, each, spec.dims, name)
        check_affine(stored.affine, name)
        if number == 0:
            affine = stored.affine
        else:
            part, own = _turned(part, stored.affine, affine)
            sides = part.shape[1:]
            check_same_shape(parts[0].shape[1:], sides, names[0], name, "channel")
            check_same_affine(affine, own, sides, (names[0], name), "channel")
        parts.append(part)
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)), affine


def _label(
    root: Path,
    name: str,
    spec: TaskSpec,
    sides: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    image_name: str,
) -> npt.NDArray[np.uint8]:
    segments: Mapping[str, int] = getattr(spec.format, "segments", {})
    if is_drawn(root / name):
        stored = Stored(read_drawn(root / name, name, sides, affine, segments), affine)
    else:
        stored = read_file(root / name, name)
    values = _flat(stored.voxels, len(sides), len(sides))
    if values.ndim != len(sides):
        msg = (
            f"{name}: the label has {values.ndim} dimensions {values.shape}, but "
            f"{image_name} has {len(sides)} {sides}; store a label of the same grid"
        )
        raise DataError(msg)
    values, own = _turned(values, stored.affine, affine)
    check_same_shape(sides, values.shape, image_name, name)
    check_same_affine(affine, own, sides, (image_name, name))
    return label_map(values, spec, name)


def _turned(
    array: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    image: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return the last three axes in the order and direction of an image's, and the affine.

    A mask of a DICOM series often comes with its slices or rows the other way round.
    """
    if array.ndim < 3 or np.allclose(affine, image) or not np.linalg.det(affine):
        return array, affine
    turns = nib.orientations.io_orientation(np.linalg.inv(image) @ affine)
    if np.isnan(turns).any() or (turns == [[0, 1], [1, 1], [2, 1]]).all():
        return array, affine
    back = nib.orientations.inv_ornt_aff(turns, array.shape[-3:])
    last = np.moveaxis(array, 0, -1) if array.ndim == 4 else array  # channels last
    moved = nib.orientations.apply_orientation(last, turns)
    return (np.moveaxis(moved, -1, 0) if array.ndim == 4 else moved), affine @ back


def label_map(
    values: npt.NDArray[Any], spec: TaskSpec, name: str
) -> npt.NDArray[np.uint8]:
    """Return the task's values for those of a label file. Raises DataError.

    Values that scaling on disk has moved by less than 0.001 from a whole number are it.
    """
    if values.dtype.kind == "f":
        whole = np.rint(values)
        values = np.where(np.abs(values - whole) < _ROUNDED, whole, values)
    relabel: Mapping[int, int] = getattr(spec.format, "relabel", {})
    changed = values
    for old, new in relabel.items():
        if changed is values:
            changed = values.copy()
        changed[values == old] = new
    check_label(changed, spec, name)
    return changed.astype(np.uint8)


def _flat(voxels: npt.NDArray[Any], axes: int, dims: int) -> npt.NDArray[Any]:
    """Drop axes of length one after the first `dims` until `axes` are left.

    Some converters write such axes.
    """
    while voxels.ndim > axes and 1 in voxels.shape[dims:]:
        voxels = voxels.squeeze(dims + voxels.shape[dims:].index(1))
    return voxels


def channels_first(
    voxels: npt.NDArray[Any], channels: int, dims: int, name: str
) -> npt.NDArray[np.float32]:
    """Return (C, *sides) from an array with `dims` axes and, for several, channels last.

    A picture in grey that is stored in colour, with equal channels, is one channel.
    Raises DataError for another number of axes.
    """
    expected = dims if channels == 1 else dims + 1
    voxels = _flat(voxels, expected, dims)
    if channels == 1 and dims == 2 and voxels.ndim == 3 and voxels.shape[2] == 3:
        grey = voxels[..., :1]
        if (voxels == grey).all():
            voxels = grey[..., 0]
        else:
            msg = (
                f"{name}: is in colour, but the task declares one channel: write "
                "'channels: [red, green, blue]', or convert it to grey"
            )
            raise DataError(msg)
    if voxels.ndim != expected:
        msg = (
            f"{name}: has {voxels.ndim} dimensions {voxels.shape}, but a {dims}-D task "
            f"with {channels} channel{'s' * (channels > 1)} needs {expected}"
        )
        raise DataError(msg)
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is reported
        image = voxels.astype(np.float32, copy=False)
    return image[None] if channels == 1 else np.moveaxis(image, -1, 0)
