"""Image files of every kind, read whole: voxels in the file's axis order and an affine.

A reader is one module here for what a suffix stands for; which it is is said below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
# Those that hold colour and no spacing.
PICTURES = tuple(ending for ending, kind in _READERS.items() if kind == "pictures")


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
    kind = _kind(path)
    if kind is None:
        msg = (
            f"{name}: no reader for this kind of file; convert it to NIfTI, NRRD, "
            "MetaImage, DICOM, PNG, JPEG or TIFF"
        )
        raise DataError(msg)
    read: Callable[[Path, str], Stored] = _reader(kind).read
    with damaged(name):
        return read(path, name)


def _kind(path: Path) -> str | None:
    """Return the module that reads a path; scanners name DICOM files without an ending."""
    if path.is_dir():
        return "dicom"
    known = _READERS.get(suffix(path.name))
    if known is None and _reader("dicom").is_dicom(path):
        return "dicom"
    return known


def _reader(kind: str) -> Any:
    return import_module(f"{__name__}.{kind}")


@contextmanager
def damaged(name: str) -> Iterator[None]:
    """Turn what a parser meets in a damaged file into a DataError about it."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # parsers raise what they stumble over
        said = " ".join(str(error).split()) or type(error).__name__
        msg = f"{name}: cannot be read, it may be damaged ({said})"
        raise DataError(msg) from error
