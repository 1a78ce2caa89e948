"""Collected tables: the rows of many nodes in one file (`collect` writes them).

    snapshots/CURRENT                the name of the snapshot that counts
    snapshots/<name>/snapshot.json   which attempt at which node is in it; its files
    snapshots/<name>/<table>.parquet

Everything here is derived from the nodes' own files and may be deleted. A snapshot that
is missing, garbled, incomplete or of a newer format is passed over: readers then read
the nodes' own files, which costs time and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schema.identity import KEY_DIGITS
from .durable import hash_file
from .records import FileEntry

SNAPSHOT_FORMAT = 1
FOLDER, CURRENT, CONTENT = "snapshots", "CURRENT", "snapshot.json"
_NAME = re.compile(r"\d{8}T\d{9}-[A-Za-z0-9-]+")  # as attempt ids: no way out of FOLDER


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot. nodes: key16 -> (attempt, tables it has rows in)."""

    folder: Path
    nodes: Mapping[str, tuple[str, frozenset[str]]]
    files: Mapping[str, FileEntry]
    rows: Mapping[str, int]

    @property
    def name(self) -> str:
        """The snapshot's name, which is its folder's."""
        return self.folder.name

    def table(self, key: str, attempt: str, name: str) -> Path | None:
        """Return the file with the rows of an attempt in table `name`, or None."""
        held = self.nodes.get(key[:KEY_DIGITS])
        if held is None or held[0] != attempt or name not in held[1]:
            return None
        return self.folder / f"{name}.parquet"


def load(root: Path) -> Snapshot | None:
    """Return the current snapshot of a results folder, if there is one to rely on."""
    try:
        name = (root / FOLDER / CURRENT).read_text(encoding="utf-8").strip()
        if not _NAME.fullmatch(name):
            return None
        return _parse(root / FOLDER / name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse(folder: Path) -> Snapshot | None:
    document: dict[str, Any] = json.loads((folder / CONTENT).read_bytes())
    if document["snapshot"] != SNAPSHOT_FORMAT:
        return None
    files = {
        str(name): FileEntry(int(entry["size"]), str(entry["sha256"]))
        for name, entry in document["files"].items()
    }
    for name, entry in files.items():
        if "/" in name or (folder / name).stat().st_size != entry.size:
            return None
    sets = {words: frozenset(words.split()) for words in document["tables"]}
    nodes = {
        key: (attempt, sets[document["tables"][place]])
        for key, (attempt, place) in document["nodes"].items()
    }
    return Snapshot(folder, nodes, files, dict(document["rows"]))


def faults(root: Path) -> list[tuple[str, str]]:
    """Read the collected tables again. Return (file, what is wrong with it)."""
    pointer = root / FOLDER / CURRENT
    if not pointer.exists():
        return []
    held = load(root)
    mend = "`harness collect --afresh` writes it anew"
    if held is None:
        place = f"{FOLDER}/{CURRENT}"
        return [(place, f"it names no snapshot that is whole: {mend}")]
    found = []
    for name, entry in held.files.items():
        place = f"{FOLDER}/{held.name}/{name}"
        try:
            if hash_file(held.folder / name)[1] != entry.sha256:
                found.append(
                    (place, f"it has other content than was collected: {mend}")
                )
        except OSError as error:
            found.append((place, f"it cannot be read ({error.strerror}): {mend}"))
    return found


def document(
    nodes: Mapping[str, tuple[str, frozenset[str]]],
    files: Mapping[str, FileEntry],
    rows: Mapping[str, int],
) -> bytes:
    """Return the content of snapshot.json. Sets of tables are written once each."""
    words = {each: " ".join(sorted(each)) for _, each in nodes.values()}
    tables = sorted(set(words.values()))
    place = {each: tables.index(text) for each, text in words.items()}
    content = {
        "snapshot": SNAPSHOT_FORMAT,
        "files": {
            name: {"size": entry.size, "sha256": entry.sha256}
            for name, entry in files.items()
        },
        "rows": dict(rows),
        "tables": tables,
        "nodes": {key: [a, place[each]] for key, (a, each) in nodes.items()},
    }
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
