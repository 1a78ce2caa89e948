"""Reading NIfTI files whole, so that a truncated file cannot pass."""

from __future__ import annotations

import gzip
import os
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ...schema.errors import DataError

_SAMPLES = 16  # blocks of an uncompressed file that enter its stamp
_BLOCK = 4096
_SUFFIXES = (".nii.gz", ".nii")
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    WrapStructError,
)


def stem(path: str) -> str:
    """Return the file name without .nii or .nii.gz.

    >>> stem("./imagesTr/case_7.nii.gz")
    'case_7'
    """
    name = Path(path).name
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def stamp(path: Path) -> str:
    """Return a short text that changes with the content and not with the date or place.

    A .gz file ends with the CRC-32 and length of its content: with its size they make
    the stamp. Of other files the size and a hash of sixteen spread blocks of 4 kB are
    taken. Raises OSError.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if path.name.endswith(".gz"):
            file.seek(max(0, size - 8))
            return f"{size}:{file.read(8).hex()}"
        spread = sha256()
        for k in range(_SAMPLES):
            file.seek((size - _BLOCK) * k // (_SAMPLES - 1) if size > _BLOCK else 0)
            spread.update(file.read(_BLOCK))
        return f"{size}:{spread.hexdigest()[:16]}"


def read_nifti(
    path: Path, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return the scaled voxels in the file's axis order and the affine (4, 4).

    name: what messages call the file. The whole file is read and, where it is gzipped,
    its checksum verified. Raises DataError.
    """
    if not path.is_file():
        msg = f"{name}: the file is listed but missing"
        raise DataError(msg)
    try:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            content = gzip.decompress(content)
        kind = nib.Nifti2Image if content[:4] in _NIFTI2 else nib.Nifti1Image
        image = kind.from_bytes(content)
        voxels = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
    except EOFError:
        msg = f"{name}: the file is truncated; copy or download it again"
        raise DataError(msg) from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"{name}: not a readable NIfTI file, it may be truncated ({reason})"
        raise DataError(msg) from error
    if voxels.dtype.kind not in "biuf":
        msg = f"{name}: holds values of type {voxels.dtype}, not plain numbers"
        raise DataError(msg)
    return voxels, affine


_NIFTI2 = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
