"""A derived index of all manifests, so that 100,000 of them are looked up at once.

One index file for each of the 256 shard folders of done/. A shard is read again only if the
folder's time differs from the index, or lies so close to the moment of indexing that a later
change could carry the same time (git calls such an entry racily clean). Index files may be
deleted at any moment; they are replaced atomically and never trusted over the manifests.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..schema.identity import KEY_DIGITS
from .durable import draft_name, write_bytes
from .records import Damaged, Manifest, check_files, parse_manifest

INDEX_FORMAT = 1
# Coarsest clock of a file system in use is 2 s (FAT); a time this near to the moment of
# indexing proves nothing.
_RACY_NS = 3_000_000_000
_READERS = 8  # hides the latency of network disks; reading holds no lock for long
Lines = dict[str, bytes]  # first digits of the key -> line of the index


class Done(Mapping[str, Manifest]):
    """Published nodes: key -> Manifest, as of one moment.

    A node is in it only if its files are present with their sizes, which is looked up when
    a key is asked for, once. Keys may be given in full or by their first 16 digits.
    """

    def __init__(self, root: Path, lines: Lines) -> None:
        """Take the index lines of every shard of the results folder `root`."""
        self._root = str(root)
        self._lines = lines
        self._reasons: dict[str, str | None] = {}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.why_not(key) is None

    def __getitem__(self, key: str) -> Manifest:
        if self.why_not(key) is not None:
            raise KeyError(key)
        line = self._lines[key[:KEY_DIGITS]]
        return parse_manifest(line.split(b"\t", 4)[4], key[:KEY_DIGITS])

    def __iter__(self) -> Iterator[str]:
        for name, line in self._lines.items():
            if self.why_not(name) is None:
                yield line.split(b"\t", 2)[1].decode()

    def __len__(self) -> int:
        return sum(self.why_not(name) is None for name in self._lines)

    def why_not(self, key: str) -> str | None:
        """Return None if `key` is done, else the reason: never published, or damaged."""
        name = key[:KEY_DIGITS]
        line = self._lines.get(name)
        if line is None:
            return "never published"
        if name not in self._reasons:
            self._reasons[name] = self._check(name, line)
        if len(key) > KEY_DIGITS and line.split(b"\t", 2)[1].decode() != key:
            return "never published"
        return self._reasons[name]

    def problems(self) -> dict[str, str]:
        """Return the damaged nodes: first 16 digits of the key -> reason."""
        found = {name: self.why_not(name) for name in self._lines}
        return {name: reason for name, reason in found.items() if reason is not None}

    def _check(self, name: str, line: bytes) -> str | None:
        stamp, key, attempt, sizes, payload = line.split(b"\t", 4)
        if not key:
            return str(json.loads(payload))
        shard = name[:2]
        try:
            found = os.stat(f"{self._root}/done/{shard}/{name}.json")  # noqa: PTH116
        except OSError:
            return "its manifest is missing"
        if _stamp(found) != stamp.decode():
            return "its manifest has changed since it was published"
        folder = f"{self._root}/nodes/{shard}/{name}/attempts/{attempt.decode()}"
        pairs = (pair.rsplit("=", 1) for pair in sizes.decode().split(","))
        return check_files(folder, {file: int(size) for file, size in pairs})


def load(root: Path) -> Done:
    """Return what is done in the results folder `root`, indexing what has changed."""
    names = _shards(root / "done")
    folder = root / "cache" / "index"
    clock = _Clock(folder)
    with ThreadPoolExecutor(_READERS) as pool:
        shards = pool.map(lambda name: _shard(root / "done" / name, folder, clock), names)
        lines: Lines = {}
        for shard in shards:
            lines.update(shard)
    return Done(root, lines)


def _shards(done: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(done) if len(name) == 2)  # noqa: PTH208
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
    head, known = _read_index(index)
    stamp = done.stat().st_mtime_ns
    if head == {"index": INDEX_FORMAT, "folder_ns": stamp}:
        return known
    now = clock.now()  # before the folder is listed, so that it can only err towards racy
    lines = _list(done, known)
    certain = now - stamp > _RACY_NS
    if now and (certain or lines != known):
        # A racy index keeps the lines and so spares reading the manifests again.
        head = {"index": INDEX_FORMAT, "folder_ns": stamp if certain else 0}
        body = b"\n".join([json.dumps(head).encode(), *lines.values()])
        with contextlib.suppress(OSError):
            write_bytes(index, body, sync=False)
    return lines


def _read_index(index: Path) -> tuple[dict[str, int], Lines]:
    try:
        first, _, body = index.read_bytes().partition(b"\n")
        head = json.loads(first)
        if head["index"] != INDEX_FORMAT:
            return {}, {}
        lines = {
            line[line.index(b"\t") - 0 : 0].decode() or _name(line): line
            for line in body.split(b"\n")
            if line
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}
    return head, lines


def _name(line: bytes) -> str:
    return line[:KEY_DIGITS].decode()
