"""NRRD and MetaImage files, through SimpleITK.

Their axes are x, y, z as in NIfTI, and their space is L, P, S: the first two
coordinates change sign. An image of two axes comes as rows and columns.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...schema.errors import DataError
from . import Stored
from .stamps import voxels_of

_LONGEST = 1 << 20  # bytes of a header
# A header ends with its last field (MetaImage) or with an empty line (NRRD).
_END = re.compile(rb"(?:^|\n)ElementDataFile *=[^\n]*(?:\n|\Z)|\n\r?\n|\Z")
_PACKED = re.compile(rb"(?im)^(?:CompressedData *= *True|encoding: *gz)")


def read(path: Path, name: str) -> Stored:
    """Return the voxels in the file's axis order and the affine. Raises DataError."""
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    _check_packed(path, name)
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        # Of the lines of a complaint the last with words of its own says why.
        lines = [line.strip() for line in str(error).replace(str(path), "").split("\n")]
        told = [
            line for line in lines if line.strip(" .:") and "itk::ERROR" not in line
        ]
        reason = told[-1] if told else "its header or data are not whole"
        msg = f"{name}: not a readable file, it may be truncated ({reason})"
        raise DataError(msg) from None
    array = SimpleITK.GetArrayFromImage(image)  # z, y, x, then channels
    dims = image.GetDimension()
    if dims == 2:
        columns, rows = image.GetSpacing()
        return Stored(array, np.diag([rows, columns, 1.0, 1.0]))
    if dims != 3:
        msg = f"{name}: has {dims} dimensions; store one volume per file"
        raise DataError(msg)
    voxels = array.transpose(2, 1, 0, *range(3, array.ndim))
    return Stored(voxels, affine_of(image))


def _check_packed(path: Path, name: str) -> None:
    """Raise DataError where compressed voxels are damaged: ITK passes over checksums."""
    content = path.read_bytes()
    head = _END.search(content, 0, _LONGEST)
    if head is None or not _PACKED.search(content, 0, head.end()):
        return
    apart = voxels_of(path)
    if apart is not None and not apart.exists():
        return  # ITK says so
    stream = zlib.decompressobj(wbits=47)  # of zlib (MetaImage) and of gzip (NRRD)
    try:
        stream.decompress(apart.read_bytes() if apart else content[head.end() :])
    except zlib.error as error:
        msg = f"{name}: its compressed voxels are damaged ({error}); download it again"
        raise DataError(msg) from None
    if not stream.eof:
        msg = f"{name}: the file is truncated; copy or download it again"
        raise DataError(msg)


def affine_of(image: object) -> npt.NDArray[np.float64]:
    """Return the affine (4, 4) from voxel indices x, y, z to mm in R, A, S."""
    spacing, origin = image.GetSpacing(), image.GetOrigin()  # type: ignore[attr-defined]
    direction = np.reshape(image.GetDirection(), (3, 3))  # type: ignore[attr-defined]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.asarray(spacing)
    affine[:3, 3] = origin
    affine[:2] *= -1
    return affine
