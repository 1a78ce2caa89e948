"""Format `nnunet`: an nnU-Net raw folder (version 2).

dataset.json says channels and file ending; imagesTr has <case>_0000.<ending> and so on,
a file per channel, labelsTr <case>.<ending>. Images of imagesTs are the publisher's
test side where labelsTs has their labels. Classes, patients and splits may stand in a
table beside them. (nnU-Net, documentation/dataset_format.md)
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from ...schema.cases import CaseRef, Side
from ...schema.errors import DataError
from ...schema.formats import NnunetFormat
from ..dataset import Dataset
from ..files import PICTURES, suffix
from ..raw import RawCase
from .listing import Stamps, check_values, inside, read_json
from .table import Row, Table
from .voxels import read_voxels

LISTING = "dataset.json"


class _Found(NamedTuple):
    images: tuple[str, ...]
    label: str | None
    side: Side | None


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """List the labelled cases of the folder and stamp their files. Raises DataError."""
    root, listing = dataset.place, dataset.place / LISTING
    assert isinstance(dataset.spec.format, NnunetFormat)
    content = read_json(listing, "an nnU-Net folder")
    channels = _channels(content, dataset, listing)
    check_values(content, dataset.spec, listing)
    stamps = Stamps(dataset, listing)
    found = _from_json(content, listing) or _from_folders(
        root, content, channels, stamps
    )
    if dataset.spec.kind != "segmentation":
        found = {case: each._replace(label=None) for case, each in found.items()}
    table = dataset.spec.format.file
    rows = _rows(dataset, table, found, stamps) if table else {}
    cases = []
    for case_id, files in found.items():
        row = rows.get(case_id)
        if table and row is None:
            continue  # left out, or noted as a fault
        side = (row.side if row else None) or files.side
        group = (row.patient if row else None) or case_id
        target = row.target if row else None
        stamp = stamps.of((*files.images, files.label))
        cases.append(
            CaseRef(case_id, group, files.images, files.label, target, side, stamp)
        )
    stamps.check()
    return cases


def _channels(content: Any, dataset: Dataset, listing: Path) -> int:
    names = None
    if isinstance(content, dict):
        names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict) or not names:
        msg = f"{listing}: needs 'channel_names', such as {{'0': 'CT'}}"
        raise DataError(msg)
    declared = dataset.spec.channels
    if len(names) != len(declared):
        told = map(str, names.values())
        msg = (
            f"{listing}: has {len(names)} channels ({', '.join(told)}), but "
            f"the task declares {len(declared)} ({', '.join(declared)})"
        )
        raise DataError(msg)
    return len(names)


def _from_json(content: dict[str, Any], listing: Path) -> dict[str, _Found]:
    """Return the cases that dataset.json lists itself, under 'dataset'."""
    entries = content.get("dataset") or {}
    found = {}
    try:
        for case_id, entry in entries.items():
            images = tuple(inside(each, listing) for each in entry["images"])
            label = entry.get("label")
            found[case_id] = _Found(images, label and inside(label, listing), None)
    except (AttributeError, KeyError, TypeError):
        msg = f"{listing}: each case under 'dataset' needs 'images' and 'label'"
        raise DataError(msg) from None
    return found


def _from_folders(
    root: Path, content: dict[str, Any], channels: int, stamps: Stamps
) -> dict[str, _Found]:
    ending = "." + str(content.get("file_ending") or ".nii.gz").lstrip(".")
    found: dict[str, _Found] = {}
    tested = (root / "labelsTs").is_dir()
    folders: tuple[tuple[str, str, Side | None], ...] = (
        ("imagesTr", "labelsTr", "train" if tested else None),
        ("imagesTs", "labelsTs", "test"),
    )
    for images, labels, side in folders:
        if side == "test" and not tested:
            continue
        named = _by_case(root, images, ending, stamps)
        for case_id, files in named.items():
            if case_id in found:
                stamps.note(f"{images}: case {case_id!r} is in imagesTr, too")
            numbers = sorted(files)
            colour = channels == 3 and suffix(ending) in PICTURES  # one file holds it
            if not (colour and numbers == [0]):
                _note_channels(f"{images}/{case_id}", ending, files, channels, stamps)
            label = f"{labels}/{case_id}{ending}"
            found[case_id] = _Found(tuple(files[n] for n in numbers), label, side)
        for path in sorted((root / labels).glob(f"[!.]*{ending}")):
            if (case_id := path.name.removesuffix(ending)) not in named:
                stamps.note(
                    f"{labels}/{path.name}: has no image {images}/{case_id}_0000{ending}"
                )
    return found


def _by_case(
    root: Path, images: str, ending: str, stamps: Stamps
) -> dict[str, dict[int, str]]:
    """Return the files of a folder by case and number of channel."""
    named: defaultdict[str, dict[int, str]] = defaultdict(dict)
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    for path in sorted((root / images).glob(f"[!.]*{ending}")):
        if match := pattern.fullmatch(path.name):
            named[match[1]][int(match[2])] = f"{images}/{path.name}"
        else:
            stamps.note(
                f"{images}/{path.name}: its name needs a channel, such as _0000"
            )
    return named


def _note_channels(
    case: str, ending: str, files: dict[int, str], channels: int, stamps: Stamps
) -> None:
    for channel in range(channels):
        if channel not in files:
            stamps.note(
                f"{case}_{channel:04d}{ending}: missing, case "
                f"{case.rpartition('/')[2]!r} needs it"
            )
    if extra := [files[n] for n in sorted(files) if n >= channels]:
        stamps.note(f"{extra[0]}: the task declares {channels} channels")


def _rows(
    dataset: Dataset, file: str, found: dict[str, _Found], stamps: Stamps
) -> dict[str, Row]:
    """Return the table's rows by case; notes cases that only one of the two has."""
    assert isinstance(dataset.spec.format, NnunetFormat)
    table = Table(dataset.place, file, dataset.spec.format.columns, dataset.spec)
    rows: dict[str, Row] = {}
    for row in table.rows(stamps):
        case_id = _case_of(row.case_id)
        if case_id not in found:
            stamps.note(f"{table.path}:{row.line}: case {case_id!r} has no images")
        elif case_id in rows:
            stamps.note(f"{table.path}:{row.line}: case {case_id!r} stands twice")
        rows[case_id] = row
    named = {*rows, *map(_case_of, table.left_out)}
    for case_id in sorted(set(found) - named):
        stamps.note(f"{table.path}: has no row for case {case_id!r}")
    return rows


def _case_of(name: str) -> str:
    """Return the case of a row that may name its first image instead."""
    return re.sub(r"^images(Tr|Ts)_|_\d{4}$", "", name)


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read images and label and check that they are one grid. Raises DataError."""
    return read_voxels(dataset, ref)
