"""Collecting: the tables of many nodes in one file each, for readers in a hurry.

One process at a time writes a new snapshot beside the old one and then points CURRENT to
it. Killed at any moment it leaves the old snapshot, and drafts that the next one removes.
Two that write at once, because one took the other for dead, harm nothing: each has a
folder of its own, and whichever pointer wins names a whole snapshot.

Every file is compared with the sha256 of its manifest while it is read, so what a
snapshot holds is what was published.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..schema.errors import UserError
from ..schema.identity import short
from . import snapshot
from .attempt import new_attempt_id
from .durable import hash_file, sync_and_hash, sync_folder, write_bytes, writing
from .growing import GrowingTable
from .lock import Lock
from .manifests import attempt_dir
from .records import FileEntry, Manifest
from .runs import runs_table
from .snapshot import CONTENT, CURRENT, FOLDER, Snapshot
from .store import Problem, Store
from .tables import PUBLISHED, SCHEMAS, parse_table

LOCK = ".lock"
OLD_S = 3600.0  # drafts of a writer that is gone are older
Progress = Callable[[int, int], None]
Nodes = dict[str, tuple[str, frozenset[str]]]


@dataclass(frozen=True)
class Collected:
    """What `collect` did. name: the snapshot that counts now, None for an empty store.

    nodes, rows, bytes: in the snapshot; added: nodes that the one before lacked;
    left_out: nodes whose files cannot be trusted.
    """

    name: str | None
    nodes: int
    added: int
    rows: Mapping[str, int]
    bytes: int
    left_out: tuple[Problem, ...]


def collect(
    store: Store, *, afresh: bool = False, progress: Progress | None = None
) -> Collected:
    """Write a snapshot of all published tables, unless the current one has them all.

    afresh: read every node's own files again instead of the last snapshot's rows.
    progress(done, total) counts nodes. Raises UserError while another process collects
    and where nothing can be written.
    """
    root = store.root
    done = store.done()
    if not done:
        return Collected(None, 0, 0, {}, 0, ())
    lock = Lock(root / FOLDER / LOCK, "another `harness collect` is at work")
    with writing(root), lock.held(wait_s=0.0):
        _remove_drafts(root)
        old = None if afresh else _sound(snapshot.load(root))
        manifests = [done[key] for key in done]
        found = {short(m.key): (m.attempt, _tables(m)) for m in manifests}
        found = {key: held for key, held in found.items() if held[1]}
        kept = {
            key: held
            for key, held in found.items()
            if old is not None and old.nodes.get(key) == held
        }
        if old is not None and len(kept) == len(found) == len(old.nodes):
            return _result(old, 0, ())
        new = [m for m in manifests if _tables(m) and short(m.key) not in kept]
        draft = root / FOLDER / f".{new_attempt_id()}"
        draft.mkdir()
        try:
            work = _Work(store, draft, kept)
            work.write(old, new, progress)
            name = work.finish()
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        write_bytes(root / FOLDER / CURRENT, f"{name}\n".encode())
        _remove_old(root, {name, old.name if old else name})
        result = snapshot.load(root)
        assert result is not None
        return _result(result, len(result.nodes) - len(kept), tuple(work.left_out))


def _result(held: Snapshot, added: int, left_out: tuple[Problem, ...]) -> Collected:
    size = sum(entry.size for entry in held.files.values())
    return Collected(held.name, len(held.nodes), added, held.rows, size, left_out)


def _tables(manifest: Manifest) -> frozenset[str]:
    return frozenset(name for name in PUBLISHED if f"{name}.parquet" in manifest.files)


def _sound(held: Snapshot | None) -> Snapshot | None:
    """Return a snapshot if its files are as they were written: rows are taken over."""
    if held is None:
        return None
    for name, entry in held.files.items():
        if hash_file(held.folder / name) != (entry.size, entry.sha256):
            return None
    return held


class _Work:
    """One snapshot in the making, in its draft folder."""

    def __init__(self, store: Store, draft: Path, kept: Nodes) -> None:
        self._store, self._draft = store, draft
        self._nodes = dict(kept)
        self._rows: dict[str, int] = {}
        self.left_out: list[Problem] = []

    def write(
        self, old: Snapshot | None, new: Sequence[Manifest], progress: Progress | None
    ) -> None:
        """Write every table: rows taken over from `old`, then those of `new` nodes."""
        with contextlib.ExitStack() as files:
            growing = {
                name: files.enter_context(
                    GrowingTable(self._draft / f"{name}.parquet", SCHEMAS[name])
                )
                for name in PUBLISHED
            }
            for name, table in growing.items():
                for rows in _taken_over(old, name, self._nodes):
                    table.add(rows)
            for position, manifest in enumerate(new):
                self._add(manifest, growing)
                if progress is not None:
                    progress(position + 1, len(new))
        self._rows = {name: table.rows for name, table in growing.items()}

    def _add(self, manifest: Manifest, growing: Mapping[str, GrowingTable]) -> None:
        try:
            tables = {
                name: growing[name].fitting(self._read(name, manifest))
                for name in _tables(manifest)
            }
        except (UserError, OSError) as error:
            self.left_out.append(Problem(manifest.key, str(error)))
            return
        for name, rows in tables.items():
            growing[name].add(rows)
        self._nodes[short(manifest.key)] = manifest.attempt, _tables(manifest)

    def _read(self, name: str, manifest: Manifest) -> pa.Table:
        file = f"{name}.parquet"
        data = (attempt_dir(self._store.root, manifest) / file).read_bytes()
        if sha256(data).hexdigest() != manifest.files[file].sha256:
            msg = f"its published file {file} has other content than was published"
            raise UserError(msg)
        table = parse_table(name, data, f"its published file {file}")
        if table.num_rows and pc.unique(table["key"]).to_pylist() != [manifest.key]:
            msg = f"its published file {file} has rows of other nodes"
            raise UserError(msg)
        return table

    def finish(self) -> str:
        """Write runs and the list of contents; give the folder its name."""
        runs = runs_table(self._store)
        pq.write_table(runs, self._draft / "runs.parquet", compression="zstd")
        self._rows["runs"] = runs.num_rows
        files = {
            path.name: FileEntry(*sync_and_hash(path))
            for path in sorted(self._draft.glob("*.parquet"))
        }
        content = snapshot.document(self._nodes, files, self._rows)
        write_bytes(self._draft / CONTENT, content)
        final = self._draft.with_name(self._draft.name[1:])
        self._draft.rename(final)
        sync_folder(final.parent)
        return final.name


def _taken_over(old: Snapshot | None, name: str, kept: Nodes) -> Iterator[pa.Table]:
    """Yield the rows of a table of the old snapshot that are of nodes in `kept`."""
    if old is None or f"{name}.parquet" not in old.files:
        return
    wanted = pa.array(sorted(kept), pa.string())
    with pq.ParquetFile(old.folder / f"{name}.parquet") as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            if len(kept) < len(old.nodes):
                keys = pc.utf8_slice_codeunits(rows["key"].cast(pa.string()), 0, 16)
                rows = rows.filter(pc.is_in(keys, wanted))
            yield rows


def _remove_drafts(root: Path) -> None:
    """Remove what a killed writer left. Young files may be another's, who asks to be."""
    old = time.time() - OLD_S
    for path in (root / FOLDER).glob(".*"):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK and path.stat().st_mtime < old:
                path.unlink()


def _remove_old(root: Path, kept: set[str]) -> None:
    """Remove all but the snapshots `kept`: the one before may still be being read."""
    for path in (root / FOLDER).iterdir():
        if path.is_dir() and path.name not in kept and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
