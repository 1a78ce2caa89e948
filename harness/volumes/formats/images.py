"""Format `images`: picture files in folders whose names say what they are.

The pattern chooses the files and says which part of a path is the class, the side, the
patient or the case; other files are left alone. A table that says so instead is read by
format `csv`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ...schema.cases import CaseRef
from ...schema.errors import DataError
from ...schema.formats import ImagesFormat
from ..dataset import Dataset
from ..files import suffix
from ..raw import RawCase
from .listing import Stamps
from .names import LeftOut, NotNamed, class_named, side_named
from .table import joined
from .voxels import read_voxels


def list_cases(dataset: Dataset) -> list[CaseRef]:
    """List and stamp the files that the pattern chooses. Raises DataError."""
    root, spec = dataset.place, dataset.spec
    assert isinstance(spec.format, ImagesFormat)
    labelled = spec.kind != "unlabelled"
    if labelled and (spec.target is None or "{target}" not in spec.format.pattern):
        msg = (
            f"{root}: a pattern with {{target}} gives pictures classes; label maps and "
            "other classes need a table, format 'csv'"
        )
        raise DataError(msg)
    pattern = expression(spec.format.pattern)
    stamps = Stamps(dataset, root)
    cases = []
    for file in _files(root):
        found = pattern.fullmatch(file)
        if found is None or not suffix(file):
            continue
        said = found.groupdict()
        try:
            target = None
            if spec.target is not None:
                target = class_named(said["target"], spec.target, "target")
            side = side_named(said.get("split", ""), "split")
        except LeftOut:
            continue
        except NotNamed as error:
            stamps.note(f"{file}: {error}")
            continue
        case_id = said.get("case") or joined(file)
        group = said.get("patient") or case_id
        stamp = stamps.of((file,))
        cases.append(CaseRef(case_id, group, (file,), None, target, side, stamp))
    stamps.check()
    if not cases:
        msg = f"{root}: no picture lies where {spec.format.pattern!r} looks for it"
        raise DataError(msg)
    return cases


def expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern of paths as a regular expression with a group per name.

    >>> expression("{split}/{target}/*").fullmatch("train/cat/7.png")["target"]
    'cat'
    """
    text = re.escape(pattern)
    text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+?)", text)
    return re.compile(text.replace(r"\*", "[^/]*"))


def _files(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, in order."""
    for folder, folders, files in os.walk(root):
        # names with a dot in front are a file manager's own
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(each for each in files if not each.startswith(".")):
            yield (Path(folder) / name).relative_to(root).as_posix()


def read_case(dataset: Dataset, ref: CaseRef) -> RawCase:
    """Read a picture. Raises DataError."""
    return read_voxels(dataset, ref)
