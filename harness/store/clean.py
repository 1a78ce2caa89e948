"""What lies in a results folder and is of no more use: found first, removed when told.

Never a published file, a manifest, a spec, or the record, log and heartbeat of any
attempt: these tell what was tried and what it cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .durable import writing
from .records import CHECKPOINTS, HEARTBEAT, LOG, RUN
from .store import Store

_RECORDS = frozenset({RUN, LOG, HEARTBEAT})
_DRAFT_AGE_S = 24 * 3600  # a draft this old belongs to nobody who still runs


@dataclass(frozen=True)
class Waste:
    """A file or a folder that can go. reason: of what sort it is, for people."""

    path: Path
    reason: str
    bytes: int


def find(store: Store) -> Iterator[Waste]:
    """Yield what is superseded among nodes and caches, in no order that matters."""
    caches: set[str] = set()
    for name in store.nodes():
        yield from _of_node(store, name)
        caches |= _caches(store, name)
    yield from _orphans(store.root, caches)
    yield from _features(store.root, caches)
    yield from _drafts(store.root)


def remove(root: Path, found: Iterable[Waste]) -> int:
    """Remove what was found; return the bytes. What is gone already does not matter.

    Raises UserError where the folder cannot be written to.
    """
    freed = 0
    with writing(root):
        for waste in found:
            with contextlib.suppress(FileNotFoundError):
                if waste.path.is_dir() and not waste.path.is_symlink():
                    shutil.rmtree(waste.path)
                else:
                    waste.path.unlink()
                freed += waste.bytes
    return freed


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder. Follows no link."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            return path.lstat().st_size
        return 0
    return sum(size_of(Path(entry.path)) for entry in os.scandir(path))


def _of_node(store: Store, name: str) -> Iterator[Waste]:
    folder = store.node_dir(name)
    manifest = store.manifest(name)
    checkpoints = folder / CHECKPOINTS
    if manifest is not None and checkpoints.is_dir():
        yield _waste(checkpoints, "checkpoints of finished nodes")
    elif checkpoints.is_dir():
        for path in checkpoints.glob("*.bad"):
            yield _waste(path, "damaged checkpoints")
    for record in store.attempts(name):
        attempt = folder / "attempts" / str(record["attempt"])
        silent = _is_old(attempt / HEARTBEAT)
        if record["state"] == "running" or (record["state"] == "lost" and not silent):
            continue  # lost is a conclusion: on another host it may still run
        published = manifest is not None and manifest.attempt == attempt.name
        kept = set(manifest.files) if manifest is not None and published else set()
        reason = "files that were not kept" if published else "files of old attempts"
        for path in sorted(attempt.rglob("*")):
            inside = path.relative_to(attempt).as_posix()
            folder_of_files = path.is_dir() and not path.is_symlink()
            if not folder_of_files and inside not in kept | _RECORDS:
                yield _waste(path, reason)


def _caches(store: Store, name: str) -> set[str]:
    """Return the caches that a node's spec refers to."""
    with contextlib.suppress(Exception):  # a spec that cannot be read keeps nothing
        return set(store.spec(name)["where"].get("cache", {}).values())
    return set()


def _orphans(root: Path, used: set[str]) -> Iterator[Waste]:
    folder = root / "cache" / "data"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.relative_to(root).as_posix() in used:
            continue
        # A hidden folder is being built, unless its builder is long gone.
        if not path.name.startswith(".") or _is_old(path):
            yield _waste(path, "cached data that no cell uses")


def _features(root: Path, used: set[str]) -> Iterator[Waste]:
    """Yield features of frozen encoders whose data no cell uses."""
    folder = root / "cache" / "features"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        about: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):  # no sound one: it can go
            about = json.loads((path / "about.json").read_bytes())
        if about.get("cache") not in used:
            yield _waste(path, "cached features of data that no cell uses")


def _drafts(root: Path) -> Iterator[Waste]:
    folders = [root, root / "provenance", root / "submissions"]
    folders += sorted(root.glob("done/??")) + sorted(root.glob("nodes/??/*"))
    for folder in folders:
        for path in folder.glob(".*.*-*") if folder.is_dir() else ():
            if path.is_file() and _is_old(path):
                yield _waste(path, "drafts of killed processes")
    for pattern in (".import-*", ".doctor-*"):
        for path in root.glob(pattern):
            if _is_old(path):
                yield _waste(path, "drafts of killed processes")


def _is_old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _DRAFT_AGE_S
    return False


def _waste(path: Path, reason: str) -> Waste:
    return Waste(path, reason, size_of(path))
