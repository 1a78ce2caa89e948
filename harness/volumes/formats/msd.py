"""Format `msd`: a Medical Segmentation Decathlon folder.

dataset.json lists `training: [{image, label}, ...]`. One modality is one 3-D file;
several are one 4-D file with the modality as last axis. Its unlabelled `test` images
are not used. Such a folder names no patients, so each case is its own group.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.task import TaskSpec
from ..faults import gathered
from ..raw import RawCase
from .checks import check_affine, check_label, check_same_affine, check_same_shape
from .nifti import read_nifti, stamp, stem

LISTING = "dataset.json"


def list_cases(root: Path) -> list[CaseRef]:
    """Read dataset.json and stamp the files that it lists. Raises DataError."""
    cases: list[CaseRef] = []
    faults: list[str] = []
    for entry in _training(root / LISTING):
        image, label = _relative(entry["image"]), _relative(entry["label"])
        stamps = []
        for path in (image, label):
            try:
                stamps.append(stamp(root / path))
            except FileNotFoundError:
                faults.append(f"{path}: listed in {root / LISTING} but missing")
            except OSError as error:
                faults.append(f"{path}: cannot be read ({error.strerror})")
        name = stem(image)
        cases.append(CaseRef(name, name, (image,), label, stamp=",".join(stamps)))
    if faults:
        raise gathered(root.name, faults)
    return cases


def _training(listing: Path) -> list[dict[str, str]]:
    try:
        content: Any = json.loads(listing.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{listing} is missing: an MSD folder is described by its {LISTING}"
        raise DataError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{listing}:{error.lineno}: not valid JSON ({error.msg})"
        raise DataError(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{listing}: cannot be read ({error})"
        raise DataError(msg) from None
    entries = content.get("training") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        msg = f"{listing}: needs a list 'training' of image and label files"
        raise DataError(msg)
    for number, entry in enumerate(entries, start=1):
        files: list[Any] = (
            [entry.get(k) for k in ("image", "label")]
            if isinstance(entry, dict)
            else []
        )
        if not files or not all(isinstance(file, str) and file for file in files):
            msg = f"{listing}: entry {number} of 'training' needs 'image' and 'label'"
            raise DataError(msg)
        for file in files:
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                msg = f"{listing}: {file} lies outside of the dataset's folder"
                raise DataError(msg)
    return entries


def _relative(path: str) -> str:
    return str(PurePosixPath(path))


def read_case(root: Path, spec: TaskSpec, ref: CaseRef) -> RawCase:
    """Read image and label and check that they are one grid. Raises DataError."""
    name = ref.images[0]
    voxels, affine = read_nifti(root / name, name)
    image = _channels_first(voxels, len(spec.channels), name)
    check_affine(affine, name)
    if ref.label is None:
        return RawCase(image, None, affine)
    values, label_affine = read_nifti(root / ref.label, ref.label)
    values = _squeezed(values)
    check_same_shape(image.shape[1:], values.shape, name, ref.label)
    check_same_affine(affine, label_affine, image.shape[1:], (name, ref.label))
    check_label(values, spec, ref.label)
    return RawCase(image, values.astype(np.uint8), affine)


def _squeezed(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop a fourth axis of length one, which some converters write."""
    return voxels[..., 0] if voxels.ndim == 4 and voxels.shape[3] == 1 else voxels


def _channels_first(
    voxels: npt.NDArray[Any], channels: int, name: str
) -> npt.NDArray[np.float32]:
    """Return (C, D, H, W) from (D, H, W) or, for several channels, (D, H, W, C)."""
    if channels == 1:
        voxels = _squeezed(voxels)
    expected = 3 if channels == 1 else 4
    if voxels.ndim != expected:
        msg = (
            f"{name}: has {voxels.ndim} dimensions {voxels.shape}, but a task with "
            f"{channels} channel{'s' * (channels > 1)} needs {expected}"
        )
        raise DataError(msg)
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is reported
        image = voxels.astype(np.float32, copy=False)
    return image[None] if channels == 1 else np.moveaxis(image, 3, 0)
