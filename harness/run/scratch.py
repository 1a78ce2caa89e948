"""Cached voxels on the node's own disk, where the profile names a scratch folder.

Reading crops from a shared file system is slow and slows down others. The first job of
a node copies a dataset's cache; the others wait for nothing and use what they find. A
copy is as good as its files' sizes; without room, or rights, the shared cache serves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = (
    "MEDSSL_SCRATCH"  # set by the job's script; the shell has filled in its parts
)
_SPARE = 0.05  # of the disk that stays free for others


def on_this_node(folder: Path, log: Callable[[str], None]) -> Path:
    """Return a copy of the cache `folder` on the node's disk, or `folder` itself.

    Safe with many jobs at once: a copy appears whole, by a rename.
    """
    scratch = os.environ.get(VARIABLE)
    if not scratch:
        return folder
    place = Path(scratch) / f"medssl-bench-{os.getuid()}" / folder.name
    try:
        if not _same(folder, place):
            _copy(folder, place)
    except OSError as error:
        log(f"reading {folder} in place: no copy in {scratch} ({error})")
        return folder
    return place


def _copy(folder: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(place.parent)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > disk.free - _SPARE * disk.total:
        message = f"{size / 1e9:.1f} GB do not fit"
        raise OSError(message)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=place.parent))
    try:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        try:
            draft.rename(place)
        except OSError:
            if not _same(folder, place):  # else another job was quicker
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _same(folder: Path, place: Path) -> bool:
    return place.is_dir() and _sizes(folder) == _sizes(place)


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
