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
            image.load()
            voxels = _plain(image, name)
    except _UNREADABLE as error:
        said = " ".join(str(error).split()).replace(repr(str(path)), "it")
        msg = f"{name}: not a readable picture, it may be truncated ({said})"
        raise DataError(msg) from error
    return Stored(voxels, np.eye(4))


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
        values = np.asarray(image)
        if (values[..., -1] == 255).all():
            return values[..., 0] if image.mode == "LA" else values[..., :3]
        msg = f"{name}: is transparent in places; flatten it"
        raise DataError(msg)
    msg = f"{name}: pictures of mode {image.mode} are not read; convert it to RGB"
    raise DataError(msg)
