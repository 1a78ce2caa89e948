"""Reading NIfTI files whole, so that a truncated file cannot pass."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ...schema.errors import DataError
from . import Stored

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


def read(path: Path, name: str) -> Stored:
    """Return the scaled voxels in the file's axis order and the affine.

    name: what messages call the file. The whole file is read and, where it is gzipped,
    its checksum verified. Raises DataError.
    """
    try:
        content = path.read_bytes()
        _check_start(content, path, name)
        if path.name.lower().endswith(".gz"):
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
    return Stored(voxels, affine)


def _check_start(content: bytes, path: Path, name: str) -> None:
    """Raise DataError for a file that is empty or not packed as its name says."""
    packed = content[:2] == b"\x1f\x8b"
    if not content:
        msg = f"{name}: the file is empty, truncated; copy or download it again"
    elif packed != path.name.lower().endswith(".gz") and (packed or _plain(content)):
        told = (
            "is gzipped: rename it to .nii.gz"
            if packed
            else ("is not gzipped, though its name ends in .gz: rename it")
        )
        msg = f"{name}: {told}"
    else:
        return
    raise DataError(msg)


def _plain(content: bytes) -> bool:
    """Whether bytes begin as a NIfTI header does, with its own length."""
    return content[:4] in (
        (348).to_bytes(4, "little"),
        (348).to_bytes(4, "big"),
        *_NIFTI2,
    )


_NIFTI2 = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
