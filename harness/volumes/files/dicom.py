"""DICOM: the folder of a series, or a file with one image.

A series is put together by where its slices lie, not by their names or numbers. What
would make a wrong volume is refused: missing slices, uneven or mixed spacings, a tilted
gantry, several series in a folder, truncated files. Values are rescaled (HU for CT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...schema.errors import DataError
from . import Stored

_PREAMBLE = 132  # bytes; the last four say DICM
# Slices may lie off an even spacing by this share of it: headers are rounded.
_UNEVEN = 0.05
_TILT = 0.01  # of a slice's step, across its normal
_TO_RAS = np.diag([-1.0, -1.0, 1.0])  # DICOM's space is L, P, S

Floats = npt.NDArray[np.float64]


def read(path: Path, name: str) -> Stored:
    """Return voxels (columns, rows, slices), or (rows, columns) of one file.

    In colour the last axis is red, green, blue. Raises DataError.
    """
    if path.is_dir():
        return _series(path, name)
    header = read_header(path, name)
    _check_one_frame(header, name)
    pixels = _bright(_pixels(header, path, name), header)
    rows, columns = _spacing(header, name)
    return Stored(pixels, np.diag([rows, columns, 1.0, 1.0]))


def _check_one_frame(header: Any, name: str) -> None:
    if int(header.get("NumberOfFrames") or 1) > 1:
        msg = (
            f"{name}: holds several frames; convert it to NIfTI (dcm2niix does) or to "
            "single files"
        )
        raise DataError(msg)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: Path, name: str) -> Any:
    """Return the whole file as pydicom has it. Raises DataError if it is damaged."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path)
    except InvalidDicomError:
        msg = f"{name}: is not a DICOM file"
    except EOFError:
        msg = f"{name}: the file is truncated; copy or download it again"
    except Exception as error:  # pydicom raises what its parsers meet
        msg = f"{name}: not a readable DICOM file ({' '.join(str(error).split())})"
    raise DataError(msg)


def _series(folder: Path, name: str) -> Stored:
    files = _slices(folder, name)
    slices = [read_header(file, f"{name}/{file.name}") for file in files]
    images = [
        (file, one) for file, one in zip(files, slices, strict=True) if "Rows" in one
    ]
    if not images:
        msg = f"{name}: holds no DICOM images"
        raise DataError(msg)
    kinds = {one.file_meta.get("MediaStorageSOPClassUID") for _, one in images}
    for file, one in zip(files, slices, strict=True):
        if "Rows" not in one and one.file_meta.get("MediaStorageSOPClassUID") in kinds:
            msg = (
                f"{name}/{file.name}: the file is truncated; copy or download it again"
            )
            raise DataError(msg)
    for file, one in images:
        _check_one_frame(one, f"{name}/{file.name}")
    _check_one_series([one for _, one in images], name)
    if len(images) == 1:
        msg = f"{name}: holds one slice, which is no volume"
        raise DataError(msg)
    across, down = _orientation(images[0][1], name)
    normal = np.cross(across, down)
    images.sort(key=lambda pair: float(normal @ _position(pair[1], name)))
    places = np.array([_position(one, name) for _, one in images])
    step = _step(places, normal, [file.name for file, _ in images], name)
    row_mm, column_mm = _spacing(images[0][1], name)
    affine = np.eye(4)
    affine[:3, :3] = _TO_RAS @ np.stack([across * column_mm, down * row_mm, step], 1)
    affine[:3, 3] = _TO_RAS @ places[0]
    layers = [_pixels(one, file, f"{name}/{file.name}") for file, one in images]
    stacked = np.stack(layers, axis=2)  # rows, columns, slices
    # The whole at once: slice by slice each would have a darkest value of its own.
    return Stored(_bright(stacked, images[0][1]).swapaxes(0, 1), affine)


def _slices(folder: Path, name: str) -> list[Path]:
    """Return the DICOM files of a folder.

    Raises DataError for a file that is named like them and is none: what is lost of a
    slice at either end of a series leaves no gap by which it would be found.
    """
    beside = sorted(each for each in folder.iterdir() if each.is_file())
    files = [each for each in beside if is_dicom(each)]
    alike = {".dcm", *map(_form, files)}
    for each in sorted(set(beside).difference(files)):
        if _form(each) in alike and not each.name.startswith("."):
            msg = (
                f"{name}/{each.name}: is no DICOM file, it may be truncated; copy or "
                "download it again"
            )
            raise DataError(msg)
    return files


def _form(path: Path) -> str:
    """Return what names of slices have in common: the ending, or all but the digits."""
    ending = path.suffix.lower()
    return ending if ending == ".dcm" else re.sub(r"\d+", "0", path.name)


def _check_one_series(slices: Sequence[Any], name: str) -> None:
    """Raise DataError where the slices do not make one even stack."""
    series = {str(one.get("SeriesInstanceUID")) for one in slices}
    if len(series) > 1:
        msg = f"{name}: holds {len(series)} series; put each in a folder of its own"
        raise DataError(msg)
    for what, of in (
        ("sizes", lambda one: (int(one.Rows), int(one.Columns))),
        ("pixel spacings", lambda one: _spacing(one, name)),
        ("orientations", lambda one: tuple(map(tuple, _orientation(one, name)))),
    ):
        first = of(slices[0])
        other = next(
            (of(one) for one in slices if not np.allclose(of(one), first, atol=1e-4)),
            None,
        )
        if other is not None:
            msg = f"{name}: its slices have different {what}: {first} and {other}"
            raise DataError(msg)


def _step(places: Floats, normal: Floats, files: Sequence[str], name: str) -> Floats:
    """Return the vector from one slice to the next. DataError where it varies."""
    steps = np.diff(places, axis=0)
    along = steps @ normal
    usual = float(np.median(along))
    if usual <= 0 or (along < _UNEVEN * usual).any():
        at = int(np.argmin(along))
        msg = f"{name}: {files[at]} and {files[at + 1]} lie at the same place"
        raise DataError(msg)
    if (uneven := np.abs(along / usual - 1) > _UNEVEN).any():
        at = int(np.argmax(uneven))
        gaps = along / usual
        whole = np.abs(gaps - np.rint(gaps)) < _UNEVEN
        if whole.all() and gaps[at] > 1:
            missing = int(np.rint(gaps - 1).sum())
            msg = (
                f"{name}: {missing} slice{'s are' if missing > 1 else ' is'} missing, "
                f"the first after {files[at]}; copy or download the series again"
            )
        else:
            msg = (
                f"{name}: its slices lie {along.min():.3g} to {along.max():.3g} mm "
                "apart; resample the series to one spacing"
            )
        raise DataError(msg)
    step = (places[-1] - places[0]) / (len(places) - 1)
    tilt = np.linalg.norm(step - (step @ normal) * normal)
    if tilt > _TILT * usual:
        msg = (
            f"{name}: the gantry was tilted, each slice is shifted by {tilt:.3g} mm; "
            "straighten the series first (dcm2niix does)"
        )
        raise DataError(msg)
    return np.asarray(step)


def _orientation(header: Any, name: str) -> tuple[Floats, Floats]:
    """Return the directions along a row and down a column."""
    six = np.asarray(header.get("ImageOrientationPatient") or [], dtype=np.float64)
    if six.shape != (6,):
        msg = f"{name}: has no ImageOrientationPatient, so its slices have no order"
        raise DataError(msg)
    return six[:3], six[3:]


def _position(header: Any, name: str) -> Floats:
    place = np.asarray(header.get("ImagePositionPatient") or [], dtype=np.float64)
    if place.shape != (3,):
        msg = f"{name}: has no ImagePositionPatient, so its slices have no order"
        raise DataError(msg)
    return place


def _spacing(header: Any, name: str) -> tuple[float, float]:
    """Return mm between rows and between columns; 1 where a flat image says none."""
    found = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if found is None and header.get("ImagePositionPatient"):
        msg = f"{name}: has no PixelSpacing"
        raise DataError(msg)
    mm = np.ravel(np.asarray(found or (1, 1), dtype=np.float64))
    if mm.shape != (2,) or not (np.isfinite(mm) & (mm > 0)).all():
        msg = f"{name}: its PixelSpacing {found} is not two lengths in mm"
        raise DataError(msg)
    return float(mm[0]), float(mm[1])


def _pixels(header: Any, path: Path, name: str) -> npt.NDArray[np.float32]:
    """Return rescaled pixels (rows, columns[, 3])."""
    if header.file_meta.TransferSyntaxUID.is_compressed:
        pixels = _decompressed(path, name)
    else:
        try:
            stored = header.pixel_array
        except Exception as error:  # truncated pixels, impossible headers
            said = " ".join(str(error).split())
            msg = f"{name}: its pixels cannot be read, it may be truncated ({said})"
            raise DataError(msg) from None
        slope = np.float32(header.get("RescaleSlope") or 1)
        shift = np.float32(header.get("RescaleIntercept") or 0)
        pixels = np.asarray(stored, np.float32) * slope + shift
    return pixels


def _bright(pixels: npt.NDArray[np.float32], header: Any) -> npt.NDArray[np.float32]:
    """Return pixels that are large where they are to look bright."""
    if header.get("PhotometricInterpretation") != "MONOCHROME1":
        return pixels
    turned: npt.NDArray[np.float32] = pixels.max() + pixels.min() - pixels
    return turned


def _decompressed(path: Path, name: str) -> npt.NDArray[np.float32]:
    """Return the pixels of a compressed file through SimpleITK, which rescales them."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        said = " ".join(str(error).split("\n")[-1].split())
        msg = f"{name}: its compressed pixels cannot be read ({said})"
        raise DataError(msg) from None
    return np.asarray(SimpleITK.GetArrayFromImage(image)[0], np.float32)
