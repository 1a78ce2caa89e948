"""Format `msd`: a Medical Segmentation Decathlon folder.

dataset.json lists `training: [{image, label}, ...]`. One modality is one 3-D file;
several are one 4-D file with the modality as last axis. Its unlabelled `test` images
are not used. Such a folder names no patients, so each case is its own group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ..dataset import Dataset
from ..files import stem
from ..raw import RawCase
from .listing import Stamps, check_values, inside, read_json
from .voxels import read_voxels

LISTING = "dataset.json"


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """Read dataset.json and stamp the files that it lists. Raises DataError."""
    listing = dataset.place / LISTING
    cases: list[CaseRef] = []
    stamps = Stamps(dataset, listing)
    content = read_json(listing, "an MSD folder")
    for image, label in _training(content, listing):
        name = stem(image)
        used = label if dataset.spec.kind == "segmentation" else None
        stamp = stamps.of((image, used))
        cases.append(CaseRef(name, name, (image,), used, stamp=stamp))
    stamps.check()
    check_values(content, dataset.spec, listing)
    return cases


def _training(content: Any, listing: Path) -> list[tuple[str, str]]:
    entries = content.get("training") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        msg = f"{listing}: needs a list 'training' of image and label files"
        raise DataError(msg)
    pairs = []
    for number, entry in enumerate(entries, start=1):
        files: list[Any] = (
            [entry.get(k) for k in ("image", "label")]
            if isinstance(entry, dict)
            else []
        )
        if not files or not all(isinstance(file, str) and file for file in files):
            msg = f"{listing}: entry {number} of 'training' needs 'image' and 'label'"
            raise DataError(msg)
        pairs.append((inside(files[0], listing), inside(files[1], listing)))
    return pairs


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read image and label and check that they are one grid. Raises DataError."""
    return read_voxels(dataset, ref)
