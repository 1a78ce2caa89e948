"""Manifests on disk: reading them with suspicion, publishing them once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..schema.identity import KEY_DIGITS, short
from .durable import (
    create_exclusively,
    draft_name,
    hash_file,
    sync_folder,
    write_bytes,
)
from .records import (
    Damaged,
    FileEntry,
    Manifest,
    Torn,
    check_files,
    checked_key,
    parse_manifest,
)

# A young torn manifest may be one being written, where the disk has no hard links.
_TORN_GRACE_S = 2.0
_TORN_YOUNG_S = 10.0


def manifest_path(root: Path, key: str) -> Path:
    """Return where the manifest of a node stands, published or not."""
    name = short(checked_key(key))
    return root / "done" / name[:2] / f"{name}.json"


def attempt_dir(root: Path, manifest: Manifest) -> Path:
    """Return the folder with the published files of a node."""
    name = short(manifest.key)
    return root / "nodes" / name[:2] / name / "attempts" / manifest.attempt


def trusted(root: Path, key: str) -> Manifest | None:
    """Return the manifest of a node, or None if it was never published.

    Raises Damaged if the manifest is garbled, or a file is missing or has another size.
    """
    try:
        data = manifest_path(root, key).read_bytes()
    except FileNotFoundError:
        return None
    manifest = parse_manifest(data, key)
    if len(key) > KEY_DIGITS and manifest.key != key:
        return None
    sizes = {name: entry.size for name, entry in manifest.files.items()}
    reason = check_files(str(attempt_dir(root, manifest)), sizes)
    if reason is not None:
        raise Damaged(reason)
    return manifest


def winner(root: Path, key: str) -> str | None:
    """Return the id of the attempt that the manifest names, if it can be read."""
    try:
        data = manifest_path(root, key).read_bytes()
        return parse_manifest(data, key).attempt
    except (OSError, Damaged):
        return None


def publish(root: Path, manifest: Manifest) -> bool:
    """Create a node's manifest unless a sound one is there. Return whether it counts.

    The files that it names must be on disk. A damaged manifest is moved aside to
    <key16>.json.bad-<n>, never deleted. Raises OSError if the disk refuses.
    """
    path = manifest_path(root, manifest.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _TORN_GRACE_S
    while not create_exclusively(path, manifest.to_bytes()):
        try:
            found = trusted(root, manifest.key)
            if found is not None:
                if not found.removed:
                    return False
                # Computed anew for the sake of files that were not kept.
                write_bytes(path, manifest.to_bytes())
                break
        except Torn:
            if time.monotonic() < deadline and _is_young(path):
                time.sleep(0.05)
                continue
            _move_aside(root, manifest.key, partial(_has_files, root))
        except Damaged:
            _move_aside(root, manifest.key, partial(_has_files, root))
    with contextlib.suppress(OSError):  # readers see it already: no way back
        sync_folder(path.parent)
    return winner(root, manifest.key) == manifest.attempt


def remove(root: Path, key: str, names: Iterable[str]) -> list[str]:
    """Remove published files that are not kept; return the names of those that were.

    The manifest is replaced first and goes on counting: it says what was there. A file
    that a crash leaves behind belongs to no manifest, and `harness clean` finds it.
    Nothing happens to a node that is not published whole, and one file stays always.
    """
    try:
        manifest = trusted(root, key)
    except Damaged:
        return []
    if manifest is None:
        return []
    gone = {name: manifest.files[name] for name in names if name in manifest.files}
    kept = {name: e for name, e in manifest.files.items() if name not in gone}
    if not gone or not kept:
        return []
    changed = replace(manifest, files=kept, removed={**manifest.removed, **gone})
    write_bytes(manifest_path(root, key), changed.to_bytes())
    for name in gone:
        with contextlib.suppress(OSError):
            (attempt_dir(root, manifest) / name).unlink()
    return sorted(gone)


def _is_young(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _TORN_YOUNG_S
    except OSError:
        return False


def _move_aside(root: Path, key: str, sound: Callable[[Manifest], bool]) -> bool:
    """Give a damaged manifest another name; put it back if it turns out to be sound.

    Another process may have replaced it by a sound one since it was judged. Returns
    whether it is gone.
    """
    path = manifest_path(root, key)
    taken = draft_name(path)
    try:
        path.rename(taken)
    except FileNotFoundError:
        return False
    data = taken.read_bytes()
    try:
        kept = sound(parse_manifest(data, key))
    except Damaged:
        kept = False
    if kept:
        create_exclusively(path, data)
    number = 1
    while not create_exclusively(path.with_name(f"{path.name}.bad-{number}"), data):
        number += 1
    taken.unlink()
    return not kept


def _has_files(root: Path, manifest: Manifest) -> bool:
    sizes = {name: entry.size for name, entry in manifest.files.items()}
    return check_files(str(attempt_dir(root, manifest)), sizes) is None


def faults(root: Path, key: str) -> list[str]:
    """Read a published node's files again. Return everything that is wrong with it."""
    try:
        data = manifest_path(root, key).read_bytes()
        manifest = parse_manifest(data, key)
    except FileNotFoundError:
        return ["never published"]
    except Damaged as damage:
        return [str(damage)]
    if len(key) > KEY_DIGITS and manifest.key != key:
        return ["never published"]
    folder = attempt_dir(root, manifest)
    found = [_fault(folder, name, entry) for name, entry in manifest.files.items()]
    return [fault for fault in found if fault is not None]


def _fault(folder: Path, name: str, entry: FileEntry) -> str | None:
    reason = check_files(str(folder), {name: entry.size})
    if reason is not None:
        return reason
    try:
        _, found = hash_file(folder / name)
    except OSError as error:
        return f"its published file {name} cannot be read ({error.strerror})"
    if found != entry.sha256:
        return f"its published file {name} has other content than was published"
    return None


def set_aside(root: Path, key: str) -> bool:
    """Rename the manifest of a node with damaged files: the node is then to do again.

    Returns False, and leaves it, if its files are sound or cannot be read at all.
    """

    def sound(manifest: Manifest) -> bool:
        folder = attempt_dir(root, manifest)
        found = [_fault(folder, name, entry) for name, entry in manifest.files.items()]
        wrong = [fault for fault in found if fault is not None]
        return not wrong or any("cannot be read" in fault for fault in wrong)

    return _move_aside(root, key, sound)
