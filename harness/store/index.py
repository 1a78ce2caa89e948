"""A derived index of all manifests, so that 100,000 of them are looked up at once.

One index file for each of the 256 shard folders of done/. A shard is listed again only
if the folder's time differs from the index, or lies so close to the moment of indexing
that a later change could carry the same time (git calls such an entry racily clean).
Index files are replaced atomically and may be deleted; the manifests are what counts.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

from ..schema.identity import KEY_DIGITS
from . import snapshot
from .durable import draft_name, write_bytes
from .records import Damaged, Manifest, missing_file, parse_manifest, wrong_size
from .snapshot import Snapshot

INDEX_FORMAT = 1
# Coarsest clock of a file system in use is 2 s (FAT); a time this near to the moment of
# indexing proves nothing.
_RACY_NS = 3_000_000_000
_READERS = 8  # hides the latency of network disks; reading holds no lock for long
Lines = dict[str, bytes]  # first digits of the key -> line of the index


class Done(Mapping[str, Manifest]):
    """Published nodes: key -> Manifest, as of one moment.

    A node is in it only if its files are present with their sizes, which is looked up
    when a key is asked for, once. Keys may be given in full or by 16 digits.
    """

    def __init__(self, root: Path, lines: Lines) -> None:
        """Take the index lines of every shard of the results folder `root`."""
        self._root = os.fsencode(root)
        self._snapshot: Snapshot | None = None
        self._looked = False
        self._lines = lines
        self._reasons: dict[str, str | None] = {}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.why_not(key) is None

    def __getitem__(self, key: str) -> Manifest:
        if self.why_not(key) is not None:
            raise KeyError(key)
        name = key[:KEY_DIGITS]
        return parse_manifest(self._lines[name].split(b"\t", 5)[5], name)

    def path(self, key: str, name: str) -> Path:
        """Return where a published file lies. KeyError if there is none of that name.

        The index knows it without parsing the manifest, which 10,000 cells would feel.
        """
        if self.why_not(key) is not None:
            raise KeyError(key)
        line = self._lines[key[:KEY_DIGITS]]
        _, _, _, attempt, sizes, _ = line.split(b"\t", 5)
        if not any(
            pair.rpartition(b"=")[0] == name.encode() for pair in sizes.split(b",")
        ):
            raise KeyError(name)
        return Path(
            os.fsdecode(self._root), "nodes", key[:2], key[:KEY_DIGITS], "attempts",
            attempt.decode(), name,
        )  # fmt: skip

    def table(self, key: str, name: str) -> Path:
        """Return a file with the rows of a node in table `name`.

        The snapshot's, with the rows of other nodes, where the node is collected; else
        its own. KeyError if the node is not done or published no such table.
        """
        held = self.snapshot
        attempt = self.attempt(key)
        if held is not None and attempt is not None and self.why_not(key) is None:
            found = held.table(key, attempt, name)
            if found is not None:
                return found
        return self.path(key, f"{name}.parquet")

    @property
    def snapshot(self) -> Snapshot | None:
        """The collected tables as of the first look at them."""
        if not self._looked:
            self._snapshot = snapshot.load(Path(os.fsdecode(self._root)))
            self._looked = True
        return self._snapshot

    def run(self, key: str) -> Mapping[str, Any]:
        """Return what was measured when a node was published. KeyError if it is not.

        The rest of the manifest is left alone: status asks this of every node.
        """
        if self.why_not(key) is not None:
            raise KeyError(key)
        payload = self._lines[key[:KEY_DIGITS]].split(b"\t", 5)[5]
        measured: Mapping[str, Any] = json.loads(payload)["run"]
        return measured

    def attempt(self, key: str) -> str | None:
        """Return the attempt that a node's manifest names, sound or not, or None."""
        line = self._lines.get(key[:KEY_DIGITS])
        if line is None:
            return None
        return line.split(b"\t", 4)[3].decode() or None

    def __iter__(self) -> Iterator[str]:
        for name, line in self._lines.items():
            if self.why_not(name) is None:
                yield _key(line)

    def of_kind(self, kind: str) -> Iterator[tuple[str, Manifest]]:
        """Yield the published nodes of a kind; manifests of others are not parsed."""
        mark = f'"kind":"{kind}"'.encode()
        for name, line in self._lines.items():
            if mark in line and self.why_not(name) is None:
                manifest = self[name]
                if manifest.kind == kind:
                    yield manifest.key, manifest

    def __len__(self) -> int:
        return sum(self.why_not(name) is None for name in self._lines)

    def why_not(self, key: str) -> str | None:
        """Return None if `key` is done, else why it is not, in words."""
        name = key[:KEY_DIGITS]
        line = self._lines.get(name)
        if line is None:
            return "never published"
        if name not in self._reasons:
            self._reasons[name] = self._check(name, line)
        reason = self._reasons[name]
        if reason is None and len(key) > KEY_DIGITS and _key(line) != key:
            return "never published"
        return reason

    def problems(self) -> dict[str, str]:
        """Return the damaged nodes: first 16 digits of the key -> reason."""
        found = {name: self.why_not(name) for name in self._lines}
        return {name: reason for name, reason in found.items() if reason is not None}

    def _check(self, name: str, line: bytes) -> str | None:
        # 100,000 nodes pass here on every plan: bytes, no Path, nothing twice.
        here = self._root + b"/done/%b/%b.json" % (line[:2], line[:KEY_DIGITS])
        try:
            stamp = _stamp(os.stat(here))  # noqa: PTH116
        except OSError:
            return "its manifest is missing"
        _, indexed, key, attempt, sizes, payload = line.split(b"\t", 5)
        if indexed != stamp:  # edited, or copied without its time
            self._lines[name] = line = _line(here, name, stamp)
            _, _, key, attempt, sizes, payload = line.split(b"\t", 5)
        if not key:
            return str(json.loads(payload))
        folder = self._root + b"/nodes/%b/%b/attempts/%b" % (
            line[:2],
            line[:KEY_DIGITS],
            attempt,
        )
        for pair in sizes.split(b","):
            file, _, size = pair.rpartition(b"=")
            try:
                found = os.stat(b"%b/%b" % (folder, file)).st_size  # noqa: PTH116
            except OSError:
                return missing_file(file.decode())
            if found != int(size):
                return wrong_size(file.decode(), found, int(size))
        return None


def load(root: Path) -> Done:
    """Return what is done in the results folder `root`, indexing what has changed."""
    names = _shards(root / "done")
    folder = root / "cache" / "index"
    clock = _Clock(folder)
    with ThreadPoolExecutor(_READERS) as pool:
        shards = pool.map(
            lambda name: _shard(root / "done" / name, folder, clock), names
        )
        lines: Lines = {}
        for shard in shards:
            lines.update(shard)
    return Done(root, lines)


def _shards(done: Path) -> list[str]:
    try:
        return sorted(path.name for path in done.iterdir() if len(path.name) == 2)
    except FileNotFoundError:
        return []


class _Clock:
    """The file system's own time, in ns, as of when it is first asked; 0 if unwritable.

    The times of folders come from the server of a network disk, not from this machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now: int | None = None

    def now(self) -> int:
        if self._now is None:
            probe = draft_name(self._folder / "clock")
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                probe.touch()
                self._now = probe.stat().st_mtime_ns
                probe.unlink()
            except OSError:
                self._now = 0
        return self._now


def _shard(done: Path, folder: Path, clock: _Clock) -> Lines:
    """Return the lines of one shard, from its index if that is certainly current."""
    index = folder / done.name
    indexed_ns, known = _read_index(index)
    stamp = done.stat().st_mtime_ns
    if indexed_ns == stamp:
        return known
    now = (
        clock.now()
    )  # before the folder is listed, so that it can only err towards racy
    lines = _list(done, known)
    certain = now - stamp > _RACY_NS
    if now and (certain or lines != known):
        # A racy index keeps its lines, which spares reading those manifests again.
        _write_index(index, stamp if certain else 0, lines)
    return lines


def _list(done: Path, known: Lines) -> Lines:
    """Return the lines of the manifests in a folder, reading those not in `known`."""
    lines: Lines = {}
    with os.scandir(done) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name, _, suffix = entry.name.partition(".")
            if len(name) != KEY_DIGITS or suffix != "json":
                continue  # drafts are hidden, damaged manifests end in .bad-<n>
            with contextlib.suppress(FileNotFoundError):
                stamp = _stamp(entry.stat())
                line = known.get(name)
                if line is None or line.split(b"\t", 2)[1] != stamp:
                    line = _line(os.fsencode(entry.path), name, stamp)
                lines[name] = line
    return lines


def _line(path: bytes, name: str, stamp: bytes) -> bytes:
    """Return name, stamp, key, attempt, sizes, manifest; or no key and the reason."""
    data = _read(path)
    try:
        manifest = parse_manifest(data, name)
    except Damaged as damage:
        return b"%b\t%b\t\t\t\t%b" % (
            name.encode(),
            stamp,
            json.dumps(str(damage)).encode(),
        )
    sizes = ",".join([f"{file}={entry.size}" for file, entry in manifest.files.items()])
    head = f"{manifest.key}\t{manifest.attempt}\t{sizes}".encode()
    data = data.rstrip()
    if b"\n" in data:  # somebody has laid it out for reading
        data = manifest.to_bytes().rstrip()
    return b"%b\t%b\t%b\t%b" % (name.encode(), stamp, head, data)


def _read(path: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _key(line: bytes) -> str:
    return line.split(b"\t", 3)[2].decode()


def _stamp(found: os.stat_result) -> bytes:
    return b"%d:%d" % (found.st_mtime_ns, found.st_size)


def _read_index(index: Path) -> tuple[int, Lines]:
    """Return the folder's time when it was indexed (0: not certain) and the lines."""
    try:
        first, _, body = index.read_bytes().partition(b"\n")
        head = json.loads(first)
        if head["index"] != INDEX_FORMAT or head["crc32"] != crc32(body):
            return 0, {}
        indexed_ns = int(head["folder_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, {}
    names = KEY_DIGITS
    return indexed_ns, {
        line[:names].decode(): line for line in body.split(b"\n") if line
    }


def _write_index(index: Path, folder_ns: int, lines: Lines) -> None:
    body = b"\n".join(lines.values())
    head = {"index": INDEX_FORMAT, "folder_ns": folder_ns, "crc32": crc32(body)}
    with contextlib.suppress(OSError):  # a reader may lack the right to write
        write_bytes(index, json.dumps(head).encode() + b"\n" + body, sync=False)
