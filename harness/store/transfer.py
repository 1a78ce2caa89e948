"""Finished nodes on the way between machines: a tar file with the folder's own layout.

    done/<kk>/<key16>.json                       the manifest
    nodes/<kk>/<key16>/spec.json
    nodes/<kk>/<key16>/attempts/<attempt>/...    the published files, run.json, log.txt
    provenance/<sha256>.json

Nothing of a tar is unpacked by its own names: a manifest is read and checked, and then
only the files that it lists are looked up, copied and compared with their sha256. What
else a tar holds is never touched, so none of it can lead out of the results folder.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from ..schema.errors import UserError
from ..schema.identity import digest, key_of_identity, short
from . import manifests
from .durable import (
    create_exclusively,
    draft_name,
    put_in_place,
    sync_and_hash,
    sync_folder,
    writing,
)
from .records import LOG, RUN, Damaged, FileEntry, Manifest, parse_manifest
from .sources import Source
from .store import Store

_LARGEST = 1 << 26  # bytes of a manifest, a spec, a record or a log that are taken
_CHUNK = 1 << 20
Progress = Callable[[int, int], None]


@dataclass
class Imported:
    """What became of the nodes of a source, by their keys.

    added: published here now; there: published here before, with the same content;
    conflicts: published here before, with other content, which stays; refused: {key:
    why it cannot be trusted}.
    """

    added: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


# -- out ------------------------------------------------------------------------------


def export(
    store: Store, keys: Iterable[str], path: Path, progress: Progress | None = None
) -> int:
    """Write published nodes into a new tar file; return how many.

    The file appears when it is complete. `.gz` at its end compresses it. Raises UserError
    for a file that exists, for a node whose files are not what was published, and where
    nothing can be written.
    """
    wanted = list(dict.fromkeys(keys))
    if path.exists():
        msg = f"{path} exists: name a new file"
        raise UserError(msg)
    draft = draft_name(path)
    compressed = path.suffix in {".gz", ".tgz"}
    try:
        with (
            draft.open("xb") as file,
            tarfile.open(fileobj=file, mode="w:gz" if compressed else "w") as tar,
        ):
            for position, key in enumerate(wanted):
                _add_node(store, key, tar)
                if progress is not None:
                    progress(position + 1, len(wanted))
        put_in_place(draft, path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror or error}): name another file"
        raise UserError(msg) from error
    finally:
        draft.unlink(missing_ok=True)
    return len(wanted)


def _add_node(store: Store, key: str, tar: tarfile.TarFile) -> None:
    faults = manifests.faults(store.root, key)
    if faults:
        msg = f"node {short(key)} cannot be exported, since {faults[0]}"
        raise UserError(msg)
    manifest = store.manifest(key)
    assert manifest is not None
    folder = manifests.attempt_dir(store.root, manifest)
    node = store.node_dir(key)
    own = [folder / name for name in (RUN, LOG) if (folder / name).exists()]
    paths = [
        manifests.manifest_path(store.root, key),
        node / "spec.json",
        *own,
        *(folder / name for name in manifest.files),
        *_packages(store.root, folder / RUN),
    ]
    for path in paths:
        tar.add(path, path.relative_to(store.root).as_posix(), filter=_anonymous)


def _packages(root: Path, run: Path) -> list[Path]:
    """Return the list of packages that an attempt's record refers to, if it is kept."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        name = json.loads(run.read_bytes())["provenance"]["packages_sha256"]
        path = root / "provenance" / f"{name}.json"
        return [path] if path.exists() else []
    return []


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who owns the file: it means nothing elsewhere."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# -- in -------------------------------------------------------------------------------


def import_nodes(
    store: Store, source: Source, progress: Progress | None = None
) -> Imported:
    """Publish the nodes of a source here; those that are published already stay.

    Every file is compared with its manifest's sha256, and every key with its identity,
    before anything appears. May be interrupted and run again.
    """
    result = Imported()
    names = source.manifests()
    store.create()
    staging = store.root / f".import-{secrets.token_hex(6)}"
    try:
        for position, name in enumerate(names):
            with writing(store.root):
                _import_node(store, source, name, staging, result)
            if progress is not None:
                progress(position + 1, len(names))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return result


def _import_node(
    store: Store, source: Source, name: str, staging: Path, result: Imported
) -> None:
    key = Path(name).stem
    try:
        manifest = parse_manifest(_read(source, name), key)
        key = manifest.key
        mine = store.manifest(key)
        if mine is not None:
            same = {**mine.files, **mine.removed} == {
                **manifest.files, **manifest.removed
            }  # fmt: skip
            (result.there if same else result.conflicts).append(key)
            return
        spec = json.loads(_read(source, f"nodes/{key[:2]}/{short(key)}/spec.json"))
        if spec["key"] != key or key_of_identity(spec["identity"]) != key:
            msg = "its spec.json is of another node"
            raise Damaged(msg)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        _stage(source, manifest, staging)
    except (Damaged, ValueError, KeyError, TypeError, RecursionError) as problem:
        result.refused[key] = (
            str(problem) if isinstance(problem, Damaged) else "its spec.json is damaged"
        )
        return
    store.write_spec(spec)
    _take_packages(store, source, staging / RUN)
    manifest = _place(store, manifest, staging)
    won = manifests.publish(store.root, manifest)
    (result.added if won else result.there).append(key)


def _stage(source: Source, manifest: Manifest, staging: Path) -> None:
    """Copy a node's files into an empty folder. Raises Damaged if any differs."""
    base = f"nodes/{manifest.key[:2]}/{short(manifest.key)}/attempts/{manifest.attempt}"
    for name, entry in manifest.files.items():
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, f"{base}/{name}", target, entry)
    for name in (RUN, LOG):
        with contextlib.suppress(Damaged):  # not published, and good to have
            (staging / name).write_bytes(_read(source, f"{base}/{name}"))


def _copy(source: Source, name: str, target: Path, entry: FileEntry) -> None:
    file = source.open(name)
    what = f"its file {Path(name).name}"
    if file is None:
        msg = f"{what} is missing"
        raise Damaged(msg)
    state, size = sha256(), 0
    with file, target.open("xb") as out:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > entry.size:
                break
            state.update(chunk)
            out.write(chunk)
    if size != entry.size or state.hexdigest() != entry.sha256:
        msg = f"{what} has other content than was published"
        raise Damaged(msg)


def _read(source: Source, name: str) -> bytes:
    file = source.open(name)
    if file is None:
        msg = f"{Path(name).name} is missing"
        raise Damaged(msg)
    with file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        msg = f"{Path(name).name} is too large"
        raise Damaged(msg)
    return data


def _take_packages(store: Store, source: Source, run: Path) -> None:
    """Keep the list of packages of an imported attempt, if it is what its name says."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, Damaged):
        name = str(json.loads(run.read_bytes())["provenance"]["packages_sha256"])
        data = _read(source, f"provenance/{name}.json")
        target = store.root / "provenance" / f"{name}.json"
        if re.fullmatch(r"[0-9a-f]{64}", name) and digest(json.loads(data)) == name:
            target.parent.mkdir(exist_ok=True)
            create_exclusively(target, data)


def _place(store: Store, manifest: Manifest, staging: Path) -> Manifest:
    """Give the staged files their place; return the manifest that names it.

    An attempt of that name may be here already, with files that are not what they were:
    the imported one then gets a name of its own.
    """
    for path in sorted(staging.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_and_hash(path)
    folder = manifests.attempt_dir(store.root, manifest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        name = f"{manifest.attempt}-imported-{secrets.token_hex(4)}"
        manifest = replace(manifest, attempt=name)
        folder = manifests.attempt_dir(store.root, manifest)
    staging.rename(folder)
    for parent in (folder.parent, *folder.parents[1:4]):
        sync_folder(parent)
    return manifest
