"""Label maps from RTSTRUCT contours and DICOM segmentations, on an image's own grid.

Names in the file become values by `segments`; where structures overlap the larger value
wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...schema.errors import DataError, nearest
from . import damaged
from .contours import fill
from .dicom import is_dicom, read_header

_MODALITIES = ("RTSTRUCT", "SEG")
# What is drawn must lie on the image's grid within this share of a voxel.
_OFF = 0.1
# A contour between slices belongs to none; where slices are a little uneven, as a series
# may be, it lies this far off the grid that stands for them.
_BETWEEN = 0.3
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")  # as DICOM spells them
_TO_RAS = np.array([-1.0, -1.0, 1.0])  # DICOM's space is L, P, S

Mask = npt.NDArray[np.bool_]
Affine = npt.NDArray[np.float64]


def is_drawn(path: Path) -> bool:
    """Whether a file is an RTSTRUCT or a DICOM segmentation."""
    if not path.is_file() or not is_dicom(path):
        return False
    from pydicom import dcmread

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except Exception:  # damaged: whoever reads it as an image says so
        return False
    return header.get("Modality") in _MODALITIES


def read_drawn(
    path: Path,
    name: str,
    sides: Sequence[int],
    affine: Affine,
    segments: Mapping[str, int],
) -> npt.NDArray[np.uint8]:
    """Return the label map (*sides) of an image with this affine.

    Raises DataError for a damaged file, names that `segments` does not find, and what
    does not lie on the image's grid.
    """
    if len(sides) != 3:
        msg = f"{name}: contours and segmentations are for volumes, not images"
        raise DataError(msg)
    header = read_header(path, name)
    read = _contours if header.Modality == "RTSTRUCT" else _frames
    found: list[tuple[str, Contours | Frames]]  # of one name there may be several
    with damaged(name):
        found = list(read(header, name))
    label = np.zeros(tuple(sides), np.uint8)
    for pattern, value in sorted(segments.items(), key=lambda pair: pair[1]):
        chosen = [(each, drawn) for each, drawn in found if _is(each, pattern)]
        if not chosen:
            names = [each for each, _ in found]
            have = ", ".join(map(repr, names)) or "nothing"
            msg = f"{name}: has no {pattern!r}, but {have}.{nearest(pattern, names)}"
            raise DataError(msg)
        for each, drawn in chosen:
            label[drawn.mask(tuple(sides), affine, f"{name}, {each}")] = value
    if not segments:
        msg = f"{name}: say in the task's format which name is which value: 'segments'"
        raise DataError(msg)
    return label


def _is(name: str, pattern: str) -> bool:
    return fnmatchcase(name.strip().lower(), pattern.strip().lower())


class Contours:
    """The closed polygons of one structure; polygons in a slice cut holes by parity."""

    def __init__(self, polygons: list[Affine], open_ones: Sequence[str] = ()) -> None:
        self.polygons = polygons  # (n, 3) mm in R, A, S
        self.open_ones = open_ones  # kinds of contours that enclose nothing

    def mask(self, sides: tuple[int, ...], affine: Affine, name: str) -> Mask:
        """Return which voxels have their centre inside. DataError off the slices."""
        if self.open_ones and not self.polygons:
            kinds = ", ".join(self.open_ones)
            msg = f"{name}: is drawn as {kinds} alone, which encloses no voxel"
            raise DataError(msg)
        mask = np.zeros(sides, np.bool_)
        inverse = np.linalg.inv(affine)
        for polygon in self.polygons:
            at = polygon @ inverse[:3, :3].T + inverse[:3, 3]
            layer = float(np.median(at[:, 2]))
            if np.ptp(at[:, 2]) > 2 * _OFF:
                msg = f"{name}: a contour does not lie in a slice of the image"
                raise DataError(msg)
            low, high = at.min(axis=0)[:2], at.max(axis=0)[:2]
            beside = (high < -0.5).any() or (low > np.array(sides[:2]) - 0.5).any()
            if beside or not -0.5 <= layer < sides[2] - 0.5:
                msg = f"{name}: a contour lies outside of the image"
                raise DataError(msg)
            if abs(layer - round(layer)) > _BETWEEN:
                msg = (
                    f"{name}: a contour lies between two slices of the image; it was "
                    "drawn on another series"
                )
                raise DataError(msg)
            mask[:, :, round(layer)] ^= fill(at[:, :2], (sides[0], sides[1]))
        return mask


class Frames:
    """The frames of one segment: pixels, and where they lie."""

    def __init__(self) -> None:
        self.frames: list[tuple[Mask, Affine]] = []  # (rows, columns), its affine

    def mask(self, sides: tuple[int, ...], affine: Affine, name: str) -> Mask:
        """Return the voxels that are set. DataError where the grids differ."""
        mask = np.zeros(sides, np.bool_)
        inverse = np.linalg.inv(affine)
        for pixels, own in self.frames:
            rows, columns = np.nonzero(pixels)
            if not rows.size:
                continue
            here = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)])
            at = (inverse @ own @ here)[:3]
            index = np.rint(at).astype(np.intp)
            if np.abs(at - index).max() > _OFF:
                msg = f"{name}: is drawn on another grid than the image; resample it"
                raise DataError(msg)
            if (index < 0).any() or (index >= np.reshape(sides, (3, 1))).any():
                msg = f"{name}: reaches outside of the image"
                raise DataError(msg)
            mask[tuple(index)] = True
        return mask


def _contours(header: Any, name: str) -> Iterator[tuple[str, Contours]]:
    """Yield the structures of an RTSTRUCT by name."""
    names = {
        int(roi.ROINumber): str(roi.ROIName)
        for roi in header.get("StructureSetROISequence") or ()
    }
    for roi in header.get("ROIContourSequence") or ():
        polygons, open_ones = [], set()
        for contour in roi.get("ContourSequence") or ():
            kind = str(contour.get("ContourGeometricType"))
            points = np.asarray(contour.ContourData, np.float64).reshape(-1, 3)
            if kind not in _CLOSED:
                open_ones.add(kind)
            elif len(points) >= 3:
                polygons.append(points * _TO_RAS)
        called = names.get(int(roi.ReferencedROINumber))
        if called is None:
            msg = f"{name}: draws a structure number {roi.ReferencedROINumber} that it "
            msg += "does not name"
            raise DataError(msg)
        yield called, Contours(polygons, sorted(open_ones))


def _frames(header: Any, name: str) -> Iterator[tuple[str, Frames]]:
    """Yield the segments of a DICOM segmentation by label."""
    try:
        pixels = np.atleast_3d(header.pixel_array)
    except Exception as error:
        said = " ".join(str(error).split())
        msg = f"{name}: its pixels cannot be read, it may be truncated ({said})"
        raise DataError(msg) from None
    if header.pixel_array.ndim == 2:
        pixels = header.pixel_array[None]
    if header.get("SegmentationType") == "FRACTIONAL":
        pixels = pixels >= 0.5 * float(header.MaximumFractionalValue)
    labels = {int(s.SegmentNumber): str(s.SegmentLabel) for s in header.SegmentSequence}
    found = {number: Frames() for number in labels}
    shared = header.SharedFunctionalGroupsSequence[0]
    for frame, own in zip(pixels, header.PerFrameFunctionalGroupsSequence, strict=True):
        affine = _frame_affine(own, shared)
        if header.get("SegmentationType") == "LABELMAP":
            for number in np.unique(frame):
                if number in found:
                    found[int(number)].frames.append((frame == number, affine))
            continue
        named = _group(own, shared, "SegmentIdentificationSequence")
        number = int(named.ReferencedSegmentNumber)
        found[number].frames.append((frame.astype(np.bool_), affine))
    for number, frames in found.items():
        yield labels[number], frames


def _group(own: Any, shared: Any, name: str) -> Any:
    """Return what is said of a frame, or of all frames."""
    return (own.get(name) or shared.get(name))[0]


def _frame_affine(own: Any, shared: Any) -> Affine:
    """Return the affine (4, 4) from columns, rows of a frame to mm in R, A, S."""
    turned = _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient
    placed = _group(own, shared, "PlanePositionSequence").ImagePositionPatient
    measures = _group(own, shared, "PixelMeasuresSequence").PixelSpacing
    six, place = np.asarray(turned, np.float64), np.asarray(placed, np.float64)
    rows, columns = map(float, measures)
    affine = np.eye(4)
    affine[:3, 0] = six[:3] * columns * _TO_RAS
    affine[:3, 1] = six[3:] * rows * _TO_RAS
    affine[:3, 2] = np.cross(six[:3], six[3:]) * _TO_RAS
    affine[:3, 3] = place * _TO_RAS
    return affine
