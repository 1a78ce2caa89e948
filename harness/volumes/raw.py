"""One case as its file holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class RawCase:
    """Voxels of one case on their native grid.

    image: float32 (C, D, H, W), or (C, rows, columns) of a 2-D task, in raw units (HU for
    CT), axes in the file's order; label: uint8 of the same sides, 0 = background, or
    None; affine: float64 (4, 4), voxel indices to mm in R, A, S. Of a 2-D task's affine
    only the spacing of the first two axes is used.
    """

    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8] | None
    affine: npt.NDArray[np.float64]
