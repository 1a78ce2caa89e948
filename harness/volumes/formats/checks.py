"""What every case must satisfy, whatever its format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...schema.errors import DataError
from ...schema.task import TaskSpec
from ..raw import RawCase

# Two affines agree if no corner of the volume moves by more than this share of a voxel.
AFFINE_TOLERANCE = 0.1
# Cosine between two axes from which on a grid is sheared: as for tilted DICOM series.
SHEAR = 0.01


def check_case(
    raw: RawCase, spec: TaskSpec, *, image_name: str, label_name: str
) -> None:
    """Raise DataError with the name of the file for voxels that must not be used."""
    check_affine(raw.affine, image_name)
    if raw.image.size == 0:
        msg = f"{image_name}: the image has no voxels (shape {raw.image.shape})"
        raise DataError(msg)
    if raw.image.shape[0] != len(spec.channels):
        msg = (
            f"{image_name}: has {raw.image.shape[0]} channels, but the task declares "
            f"{len(spec.channels)} ({', '.join(spec.channels)})"
        )
        raise DataError(msg)
    bad = raw.image.size - int(np.isfinite(raw.image).sum())
    if bad:
        msg = f"{image_name}: {bad} voxels are NaN or infinite; replace them"
        raise DataError(msg)
    if raw.label is not None:
        check_same_shape(raw.image.shape[1:], raw.label.shape, image_name, label_name)
        check_label(raw.label, spec, label_name)
    elif spec.kind == "segmentation":
        msg = f"{image_name}: has no label, which a segmentation task needs"
        raise DataError(msg)


def check_label(label: npt.NDArray[np.generic], spec: TaskSpec, name: str) -> None:
    """Raise DataError for a value that is not a whole number in 0..structures."""
    highest = len(spec.structures)
    if label.dtype == np.uint8 and label.max(initial=0) <= highest:
        return
    found = np.asarray(np.unique(label.ravel(order="K")), dtype=np.float64)
    whole = np.isfinite(found) & (found == np.floor(found))
    bad = found[~(whole & (found >= 0) & (found <= highest))]
    if bad.size:
        listed = ", ".join(f"{value:.7g}" for value in bad[:3])
        more = f" and {bad.size - 3} more" if bad.size > 3 else ""
        msg = (
            f"{name}: the label has the value {listed}{more}, but the task's classes "
            f"are 0 to {highest}; correct the label, or 'structures' in the task file"
        )
        raise DataError(msg)


def check_same_shape(
    image: tuple[int, ...],
    label: tuple[int, ...],
    image_name: str,
    label_name: str,
    what: str = "label",
) -> None:
    """Raise DataError if the two grids have another number of voxels along an axis."""
    if tuple(image) != tuple(label):
        msg = (
            f"{label_name}: its shape {tuple(label)} differs from the shape "
            f"{tuple(image)} of {image_name}; resample the {what} to it"
        )
        raise DataError(msg)


def check_affine(affine: npt.NDArray[np.float64], name: str) -> None:
    """Raise DataError for an affine without spacing or orientation, or a sheared one."""
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    usable = np.isfinite(affine).all() and (lengths > 0).all()
    if not usable or abs(np.linalg.det(axes / lengths)) < 1e-3:
        msg = f"{name}: its affine is singular or not finite, so spacing is unknown"
        raise DataError(msg)
    along = axes / lengths
    if np.abs(along.T @ along - np.eye(3)).max() > SHEAR:
        msg = (
            f"{name}: its axes are not at right angles, as after a tilted gantry; "
            "resample it to a rectangular grid first"
        )
        raise DataError(msg)


def check_same_affine(
    image: npt.NDArray[np.float64],
    label: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    names: tuple[str, str],
    what: str = "label",
) -> None:
    """Raise DataError if image and label (names: in this order) lie apart in space."""
    ends = [[0, n - 1] for n in (*shape, 1)[:3]]  # an image is one layer
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), -1)
    corners = corners.reshape(-1, 3)
    moved = corners @ (image - label)[:3, :3].T + (image - label)[:3, 3]
    smallest = np.linalg.norm(image[:3, :3], axis=0).min()
    worst = float(np.linalg.norm(moved, axis=1).max())
    if not worst <= AFFINE_TOLERANCE * smallest:
        msg = (
            f"{names[1]}: its affine differs from that of {names[0]} by {worst:.3g} mm "
            f"at a corner of the volume; resample the {what} to it"
        )
        raise DataError(msg)
