"""What listings of files share: JSON, paths that stay inside, stamps, all faults told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...schema.errors import DataError
from ...schema.task import TaskSpec
from ..dataset import Dataset
from ..faults import gathered
from ..files.stamps import stamp

MISSING = "missing"  # stands for a file in the stamp of a case


def read_json(listing: Path, described: str) -> Any:
    """Return the content of a JSON file. described: what the file describes."""
    try:
        return json.loads(listing.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        msg = f"{listing} is missing: {described} is described by its {listing.name}"
        raise DataError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{listing}:{error.lineno}: not valid JSON ({error.msg})"
        raise DataError(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{listing}: cannot be read ({error})"
        raise DataError(msg) from None


def check_values(content: Any, spec: TaskSpec, listing: Path) -> None:
    """Raise DataError where a listing gives a structure's name another value.

    `labels` of a dataset.json are {value: name} (MSD) or {name: value} (nnU-Net). Names
    that the task has otherwise say nothing.
    """
    labels = content.get("labels") if isinstance(content, dict) else None
    relabel = getattr(spec.format, "relabel", {})
    for pair in labels.items() if isinstance(labels, dict) else ():
        name, value = pair if not str(pair[0]).isdigit() else pair[::-1]
        if not str(value).isdigit():
            continue  # nnU-Net's regions have several
        ours = spec.structures.get("_".join(str(name).lower().split()))
        theirs = relabel.get(int(value), int(value))
        if ours is not None and ours != theirs:
            msg = (
                f"{listing}: calls the label {value} {name!r}, whose value is {ours} in "
                "the task file: correct 'structures' there"
            )
            raise DataError(msg)


def inside(file: str, listing: Path) -> str:
    """Return a path as it stands in ids and messages. DataError if it leads elsewhere."""
    if "\0" in file:
        msg = f"{listing}: {file!a} is no path"
        raise DataError(msg)
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        msg = (
            f"{listing}: {file} lies outside of the dataset's folder; put or link it "
            "there, and write its path from there"
        )
        raise DataError(msg)
    return str(path)


class Stamps:
    """Stamps files of a dataset, and notes those that cannot be.

    With skip_unreadable files that are there and cannot be read are left for the reader.
    """

    def __init__(self, dataset: Dataset, listing: Path) -> None:
        self._dataset, self._listing = dataset, listing
        self._faults: list[str] = []

    def of(self, files: Sequence[str | None]) -> str:
        """Return the stamp of a case that consists of these files; None is none."""
        found = []
        for file in files:
            if file is None:
                continue
            try:
                found.append(stamp(self._dataset.place / file))
            except FileNotFoundError as error:
                found.append(MISSING)
                lost = Path(error.filename)
                if lost == self._dataset.place / file:
                    self.note(f"{file}: listed in {self._listing} but missing")
                else:
                    self.note(
                        f"{file}: {lost.name}, which holds its voxels, is missing"
                    )
            except OSError as error:
                if self._dataset.spec.skip_unreadable:
                    found.append("unreadable")
                else:
                    self.note(f"{file}: cannot be read ({error.strerror})")
        return ",".join(found)

    def note(self, fault: str) -> None:
        """Note another fault of the listing."""
        self._faults.append(fault)

    def check(self) -> None:
        """Raise DataError with all faults that were met, or note them for the dataset."""
        if self._dataset.noted is not None:
            self._dataset.noted.extend(self._faults)
        elif self._faults:
            raise gathered(self._dataset.place.name, self._faults)
