"""Scans and nodules of LIDC-IDRI written out as tables that the format csv reads.

`scans.csv` has a row for each scan with its label map of nodules, `nodules.csv` one for
each nodule, cut out of its scan. The series themselves are linked to, not copied.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from ..schema.errors import DataError, UserError
from .files import dicom
from .lidc import Scan, consensus, malignancy

SIDE_MM = (
    96.0  # of the cube around a nodule; crops of 64 mm lie inside it (chosen here)
)
_SCANS = ("case", "image", "label", "patient", "nodules", "volume_cc")
_NODULES = ("case", "image", "patient", "malignancy", "readers", "volume_cc")
Progress = Callable[[int, int], None]
Row = Mapping[str, Any]


def find_series(root: Path) -> dict[str, Path]:
    """Return the folder of each DICOM series below `root`, by its UID.

    One file of a folder is read: the NBIA Data Retriever puts a series into each.
    Raises UserError where there is none.
    """
    found: dict[str, Path] = {}
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder) / name
            if dicom.is_dicom(path):
                header = dicom.read_header(path, str(path))
                found.setdefault(str(header.get("SeriesInstanceUID")), Path(folder))
                break
    if not found:
        msg = f"no DICOM series lies below {root}: name the folder of LIDC-IDRI"
        raise UserError(msg)
    return found


def export(
    scans: Sequence[Scan],
    series: Mapping[str, Path],
    target: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> tuple[int, list[str]]:
    """Write the scans that are there below `target`; return how many, and what is wrong.

    The tables are written last and whole. progress: called with (scans done, in all).
    """
    present = [scan for scan in scans if scan.series in series]
    rows: list[tuple[Row, list[Row]]] = []
    faults: list[str] = []

    def work(scan: Scan) -> tuple[Row, list[Row]] | str:
        try:
            return _write(scan, series[scan.series], target)
        except DataError as error:
            return str(error)

    for folder in ("dicom", "labels", "nodules"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for done, result in enumerate(pool.map(work, present), start=1):
            if isinstance(result, str):
                faults.append(result)
            else:
                rows.append(result)
            if progress is not None:
                progress(done, len(present))
    _table(target / "scans.csv", _SCANS, (row for row, _ in rows))
    _table(target / "nodules.csv", _NODULES, (one for _, all_ in rows for one in all_))
    return len(rows), faults


def _write(scan: Scan, folder: Path, target: Path) -> tuple[Row, list[Row]]:
    """Write one scan's label map and nodules; return their rows."""
    stored = dicom.read(folder, str(folder))
    voxels, affine = stored.voxels, stored.affine
    litre = abs(float(np.linalg.det(affine[:3, :3]))) / 1000  # cc of a voxel
    name = f"{scan.patient}_{scan.series.rsplit('.', 1)[-1][-8:]}"
    label = np.zeros(voxels.shape, np.uint8)
    found: list[Row] = []
    for number, nodule in enumerate(scan.nodules()):
        mask = consensus(nodule, voxels.shape, affine)
        label[mask] = 1
        places = np.concatenate([each.points(scan.pixel_mm) for each in nodule])
        columns, rows, height = places.mean(0)
        centre = np.array(
            [
                columns / scan.pixel_mm,
                rows / scan.pixel_mm,
                (height - affine[2, 3]) / affine[2, 2],
            ]
        )
        case = f"{name}_{number:02d}"
        _save(target / f"nodules/{case}.nii.gz", *_cut(voxels, affine, centre))
        found.append(
            {
                "case": case, "image": f"nodules/{case}.nii.gz",
                "patient": scan.patient, "malignancy": malignancy(nodule),
                "readers": len(nodule), "volume_cc": round(mask.sum() * litre, 4),
            }
        )  # fmt: skip
    _save(target / f"labels/{name}.nii.gz", label, affine)
    link = target / "dicom" / name  # tables name nothing outside of their own folder
    link.unlink(missing_ok=True)
    link.symlink_to(folder.absolute(), target_is_directory=True)
    row = {
        "case": name, "image": f"dicom/{name}",
        "label": f"labels/{name}.nii.gz", "patient": scan.patient,
        "nodules": len(found), "volume_cc": max(each["volume_cc"] for each in found),
    }  # fmt: skip
    return row, found


def _cut(
    voxels: npt.NDArray[Any], affine: npt.NDArray[np.float64], centre: Any
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return the cube around a voxel, as far as it lies inside, and its affine."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    half = SIDE_MM / 2 / spacing
    low = np.maximum(0, np.round(centre - half)).astype(int)
    high = np.minimum(voxels.shape, np.round(centre + half)).astype(int)
    inside = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ low + affine[:3, 3]
    return inside, moved


def _save(
    path: Path, voxels: npt.NDArray[Any], affine: npt.NDArray[np.float64]
) -> None:
    stored = voxels if voxels.dtype == np.uint8 else np.rint(voxels).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)


def _table(path: Path, head: Sequence[str], rows: Iterable[Row]) -> None:
    draft = path.with_suffix(".part")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, head)
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(path)
