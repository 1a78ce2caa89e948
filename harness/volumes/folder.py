"""Images in a folder that no table lists: which files make up which case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..schema.cases import CaseRef
from ..schema.errors import DataError
from ..schema.formats import CsvFormat
from ..schema.task import TaskSpec
from .dataset import Dataset
from .files import stem, suffix
from .files.stamps import stamp

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})\Z")


def open_folder(folder: Path, spec: TaskSpec) -> tuple[Dataset, list[CaseRef]]:
    """Return the images of a folder as data of a task, without labels.

    A case is a file of a known kind or a folder with a DICOM series; of a 2-D task a
    DICOM file, too. A task with several channels takes files that hold them all, or one
    file per channel with names as nnU-Net has them: CASE_0000.nii.gz, CASE_0001.nii.gz.
    Of one channel every file is a case, and _0000 at the end of all names is no part of
    theirs. Other files, and names that
    begin with a dot, are passed over. Raises DataError for a folder without images, a
    case that stands twice and a channel that is missing.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder: name one that holds the images"
        raise DataError(msg)
    names = sorted(path.name for path in folder.iterdir() if _is_image(path, spec.dims))
    if not names:
        msg = (
            f"{folder} holds no images: put NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF "
            "files there, or one folder for each DICOM series"
        )
        raise DataError(msg)
    plain = spec.model_copy(
        update={
            "kind": "unlabelled",
            "target": None,
            "format": CsvFormat(kind="csv", folder=folder.name),
        }
    )
    cases = [
        CaseRef(case_id, case_id, tuple(images), stamp=_stamp(folder, images))
        for case_id, images in _grouped(folder, names, spec.channels).items()
    ]
    return Dataset(folder.name, plain, folder), cases


def _is_image(path: Path, dims: int) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(each.is_file() for each in path.iterdir())
    kind = suffix(path.name)
    return kind != "" and (kind != ".dcm" or dims == 2)  # a slice is no volume


def _stamp(folder: Path, names: Sequence[str]) -> str:
    return " ".join(stamp(folder / name) for name in names)


def _grouped(
    folder: Path, names: Sequence[str], channels: Sequence[str]
) -> Mapping[str, list[str]]:
    """Return the file names of each case, in the order of the channels."""
    found: dict[str, dict[int, str]] = {}
    matches = [_CHANNEL.match(stem(name)) for name in names]
    several = all(matches)
    if len(channels) == 1:  # patient_0001, patient_0002: numbers of cases
        several = all(match and int(match["channel"]) == 0 for match in matches)
    for name in names:
        match = _CHANNEL.match(stem(name)) if several else None
        case_id = match["case"] if match else stem(name)
        channel = int(match["channel"]) if match else 0
        own = found.setdefault(case_id, {})
        if channel in own:
            msg = f"{folder}: {own[channel]} and {name} are both {case_id}: rename one"
            raise DataError(msg)
        own[channel] = name
    for case_id, own in found.items():
        if several and sorted(own) != list(range(len(channels))):
            lacking = [c for c in range(len(channels)) if c not in own]
            what = (
                f"lacks the channel {lacking[0]:04d} ({channels[lacking[0]]})"
                if lacking
                else f"has {len(own)} channels"
            )
            msg = (
                f"{folder}: case {case_id} {what}, and the task has {len(channels)}: "
                f"{', '.join(channels)}"
            )
            raise DataError(msg)
    return {case_id: [own[c] for c in sorted(own)] for case_id, own in found.items()}
