"""Made-up CT series as scanners store them, and masks as radiotherapy draws them.

The series run from the head down, row by row to the back; masks become RTSTRUCT contours
in every slice. UIDs follow from the path, so that equal cases are equal files.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_INTERCEPT = -1024  # HU of a stored 0
_ROOT = "2.25."  # UIDs made of a number of 128 bits (DICOM PS3.5 B.2)


def write_series(
    folder: Path, image: npt.NDArray[np.float32], spacing: tuple[float, ...]
) -> None:
    """Write a volume (x, y, z) in HU as one file a slice; axes as `writers` has them."""
    from pydicom.uid import CTImageStorage

    folder.mkdir(parents=True, exist_ok=True)
    stored = np.clip(np.rint(image) - _INTERCEPT, 0, 65535).astype(np.uint16)
    for place in range(image.shape[2]):
        one = _file(str(CTImageStorage), f"{folder.name} {place}")
        one.Modality = "CT"
        one.SeriesInstanceUID = _uid(folder.name)
        one.InstanceNumber = image.shape[2] - place
        one.Rows, one.Columns = image.shape[1], image.shape[0]
        one.PixelSpacing = [spacing[1], spacing[0]]
        one.SliceThickness = spacing[2]
        # A row runs to the left, a column to the front: the affine of `writers`.
        one.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        one.ImagePositionPatient = [0, 0, place * spacing[2]]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.RescaleSlope, one.RescaleIntercept = 1, _INTERCEPT
        one.PixelData = np.ascontiguousarray(stored[:, :, place].T).tobytes()
        _save(folder / f"IM{one.InstanceNumber:04d}.dcm", one)


def write_contours(
    path: Path,
    label: npt.NDArray[np.uint8],
    spacing: tuple[float, ...],
    names: dict[int, str],
) -> None:
    """Write a label map (x, y, z) as an RTSTRUCT; names: of its values.

    A run of voxels along x is a rectangle: with the parity of contours in a slice they
    give back every voxel.
    """
    from pydicom.dataset import Dataset
    from pydicom.uid import RTStructureSetStorage

    one = _file(str(RTStructureSetStorage), path.name)
    one.Modality = "RTSTRUCT"
    one.StructureSetROISequence, one.ROIContourSequence = [], []
    for value, name in names.items():
        structure, drawn = Dataset(), Dataset()
        structure.ROINumber, structure.ROIName = value, name
        drawn.ReferencedROINumber = value
        drawn.ContourSequence = []
        for corners in _rectangles(label == value):
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(corners)
            place = corners * np.asarray(spacing) * [1, -1, 1]  # L, P, S
            contour.ContourData = [round(float(mm), 4) for mm in place.ravel()]
            drawn.ContourSequence.append(contour)
        one.StructureSetROISequence.append(structure)
        one.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, one)


def _rectangles(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """Return the corners (4, 3), in voxel indices, around each run along x."""
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0), (0, 0))).astype(np.int8), axis=0)
    found = []
    for z in range(mask.shape[2]):
        for y in np.flatnonzero(mask[:, :, z].any(axis=0)):
            line = edges[:, y, z]
            ends = zip(
                np.flatnonzero(line == 1), np.flatnonzero(line == -1), strict=True
            )
            for start, stop in ends:
                x, top = (start - 0.5, stop - 0.5), (y - 0.5, y + 0.5)
                corners = [
                    (x[0], top[0]),
                    (x[1], top[0]),
                    (x[1], top[1]),
                    (x[0], top[1]),
                ]
                found.append(np.array([(*corner, z) for corner in corners], np.float64))
    return found


def _file(kind: str, text: str) -> Any:
    """Return a file of a SOP class with what every file must say."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = _uid(text)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = Dataset()
    one.file_meta = meta
    one.SOPClassUID, one.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    one.PatientID = one.PatientName = "made up"
    return one


def _uid(text: str) -> str:
    return _ROOT + str(int.from_bytes(sha256(text.encode()).digest()[:15]))


def _save(path: Path, one: Any) -> None:
    from pydicom import dcmwrite

    dcmwrite(path, one, enforce_file_format=True)
