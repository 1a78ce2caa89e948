"""PNG, JPEG, TIFF and BMP: rows, columns and, in colour, red, green, blue.

Such files say no spacing; it counts as 1 mm. Values stay as they are (0 to 255, or to
65535 where a channel has 16 bits). Transparency is dropped where nothing is transparent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...schema.errors import DataError
from . import Stored

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
_COLOURED = ("RGB", "RGBA", "LA")
_GREY = ("L", "I", "F", "I;16", "I;16B", "I;16L")


def read(path: Path, name: str) -> Stored:
    """Return a picture (rows, columns) or (rows, columns, 3). Raises DataError."""
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                msg = (
                    f"{name}: holds {frames} pictures; store each in a file of its own"
                )
                raise DataError(msg)
            # Pillow keeps eight bits of a channel in colour, whatever the file has.
            deep = image.mode in _COLOURED and "16" in str(image.tile)
            image.load()
            voxels = _shown(_deep(path), name) if deep else _plain(image, name)
    except _UNREADABLE as error:
        said = " ".join(str(error).split()).replace(repr(str(path)), "it")
        msg = f"{name}: not a readable picture, it may be truncated ({said})"
        raise DataError(msg) from error
    return Stored(voxels, np.eye(4))


def _deep(path: Path) -> npt.NDArray[Any]:
    """Return a picture (rows, columns, channels) of 16 bits as it is stored."""
    import SimpleITK

    try:
        return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    except RuntimeError as error:
        raise OSError(str(error).split("\n")[-1].replace(str(path), "it")) from None


def _shown(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return the channels (rows, columns[, 3]) without transparency. Raises DataError."""
    channels = values.shape[2]
    if channels in (2, 4) and (values[..., -1] != np.iinfo(values.dtype).max).any():
        msg = f"{name}: is transparent in places; flatten it"
        raise DataError(msg)
    return values[..., 0] if channels == 2 else values[..., :3]


def _plain(image: Image.Image, name: str) -> npt.NDArray[Any]:
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in _GREY or image.mode == "RGB":
        return np.asarray(image)
    if image.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        if image.mode == "RGB":
            return np.asarray(image)
    if image.mode in ("RGBA", "LA"):
        return _shown(np.asarray(image), name)
    msg = f"{name}: pictures of mode {image.mode} are not read; convert it to RGB"
    raise DataError(msg)
