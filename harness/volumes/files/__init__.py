"""Image files of every kind, read whole: voxels in the file's axis order and an affine.

A reader is one module here for what a suffix stands for; which it is is said below.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...schema.errors import DataError

# Longest first, so that .nii.gz is not taken for .gz.
_READERS = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "itk",
    ".nhdr": "itk",
    ".mha": "itk",
    ".mhd": "itk",
    ".dcm": "dicom",
    ".jpeg": "pictures",
    ".jpg": "pictures",
    ".png": "pictures",
    ".tiff": "pictures",
    ".tif": "pictures",
    ".bmp": "pictures",
}


class Stored(NamedTuple):
    """What a file holds.

    voxels: the scaled values in the file's axis order, channels last where there are
    several; affine: float64 (4, 4), voxel indices to mm in R, A, S.
    """

    voxels: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]


def suffix(path: str) -> str:
    """Return which of the known endings a path has, '' for none.

    >>> suffix("imagesTr/CASE_1.NII.GZ")
    '.nii.gz'
    """
    lower = path.lower()
    return next((known for known in _READERS if lower.endswith(known)), "")


def stem(path: str) -> str:
    """Return the file name without a known ending.

    >>> stem("./imagesTr/case_7.nii.gz")
    'case_7'
    """
    name = Path(path).name
    return name[: len(name) - len(suffix(name))]


def read_file(path: Path, name: str) -> Stored:
    """Read an image file, or the folder of a DICOM series.

    name: what messages call it. Raises DataError for a file that is missing, damaged or
    of no known kind.
    """
    if not path.exists():
        msg = f"{name}: the file is listed but missing"
        raise DataError(msg)
    kind = "dicom" if path.is_dir() else _READERS.get(suffix(path.name))
    if kind is None:
        msg = (
            f"{name}: no reader for this kind of file; convert it to NIfTI, NRRD, "
            "MetaImage, DICOM, PNG, JPEG or TIFF"
        )
        raise DataError(msg)
    read: Callable[[Path, str], Stored] = import_module(f"{__name__}.{kind}").read
    return read(path, name)
