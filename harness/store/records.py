"""What the store writes down: manifests of published nodes and records of attempts."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..schema.errors import UserError
from ..schema.identity import KEY_DIGITS

FORMAT = 1  # of the results folder; raised when an older harness could misread it
State = Literal["running", "done", "failed", "duplicate", "blocked", "lost"]
ErrorClass = Literal[
    "data", "code", "oom", "timeout", "disk_full", "interrupted", "blocked"
]
STALE_BEATS = 10  # missed heartbeats after which a silent attempt counts as lost
# Written by the store itself into every attempt folder, never published.
RUN, LOG, HEARTBEAT = "run.json", "log.txt", "heartbeat"
# Beside a node's attempts: what resumes a training, by whichever attempt.
CHECKPOINTS = "checkpoints"
PUBLISHED_NAME = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"
)
_ATTEMPT = re.compile(r"\d{8}T\d{9}-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{8}")
_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}|[0-9a-f]{{64}}")


class Damaged(Exception):
    """A manifest that cannot be trusted. The message says why."""


class Torn(Damaged):
    """A manifest that is not JSON; it may still be in the making."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes and sha256 (hex) of a published file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A published node: what it is, which attempt made it, its files.

    labels: columns for people and tables; run: wall_s, host and what was measured.
    removed: files that were published and are not kept any more (`keep:`).
    """

    key: str
    kind: str
    attempt: str
    published: str
    files: Mapping[str, FileEntry]
    labels: Mapping[str, Any]
    run: Mapping[str, Any]
    removed: Mapping[str, FileEntry] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the manifest's JSON, one line."""
        document = {
            "format": FORMAT,
            "key": self.key,
            "kind": self.kind,
            "attempt": self.attempt,
            "published": self.published,
            "files": _written(self.files),
            "labels": dict(self.labels),
            "run": dict(self.run),
        }
        if self.removed:
            document["removed"] = _written(self.removed)
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        return text.encode() + b"\n"


def _written(files: Mapping[str, FileEntry]) -> dict[str, dict[str, int | str]]:
    return {
        name: {"size": entry.size, "sha256": entry.sha256}
        for name, entry in sorted(files.items())
    }


def _entries(files: Mapping[str, Any]) -> dict[str, FileEntry]:
    return {
        _text(name): FileEntry(int(entry["size"]), _text(entry["sha256"]))
        for name, entry in files.items()
    }


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Read a manifest that stands under `name`, the first digits of its key.

    Raises Damaged if it cannot be trusted, UserError if a newer harness wrote it.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        msg = "its manifest is not valid JSON"
        raise Torn(msg) from error
    if not isinstance(document, dict):
        msg = "its manifest is not a JSON object"
        raise Damaged(msg)
    refuse_newer(document.get("format"), f"the manifest of {name}")
    try:
        manifest = Manifest(
            key=_text(document["key"]),
            kind=_text(document["kind"]),
            attempt=_text(document["attempt"]),
            published=_text(document["published"]),
            files=_entries(document["files"]),
            labels=dict(document["labels"]),
            run=dict(document["run"]),
            removed=_entries(document.get("removed", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"its manifest lacks or garbles {error}"
        raise Damaged(msg) from error
    if not manifest.key.startswith(name[:KEY_DIGITS]) or not _KEY.fullmatch(
        manifest.key
    ):
        msg = f"its manifest is of another node, {manifest.key[:KEY_DIGITS]}"
        raise Damaged(msg)
    names = (manifest.attempt, *manifest.files, *manifest.removed)
    plain = all(map(PUBLISHED_NAME.fullmatch, names)) and "/" not in manifest.attempt
    if not manifest.files or not plain:
        msg = "its manifest names no files, or names that are not allowed"
        raise Damaged(msg)
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"{value!r}, which should be text"
        raise TypeError(msg)
    return value


def check_files(folder: str, sizes: Mapping[str, int]) -> str | None:
    """Return why the published files in an attempt's folder cannot be trusted, or None.

    sizes: {name: bytes}. Looks at presence and size only; `Store.verify` reads them.
    """
    for name, size in sizes.items():
        try:
            found = os.stat(f"{folder}/{name}").st_size  # noqa: PTH116 - 100,000 nodes
        except OSError:
            return missing_file(name)
        if found != size:
            return wrong_size(name, found, size)
    return None


def missing_file(name: str) -> str:
    """Say that a published file is gone."""
    return f"its published file {name} is missing"


def wrong_size(name: str, found: int, expected: int) -> str:
    """Say that a published file has another size than its manifest says."""
    return f"its published file {name} has {found} bytes, expected {expected}"


def refuse_newer(version: object, what: str) -> None:
    """Raise UserError if `version` is above what this harness knows."""
    if isinstance(version, int) and version > FORMAT:
        msg = (
            f"{what} was written in format {version}, and this harness knows formats "
            f"up to {FORMAT}: update the harness"
        )
        raise UserError(msg)


def checked_key(key: str) -> str:
    """Return `key` if it is 64 or 16 hex digits, else raise ValueError."""
    if not _KEY.fullmatch(key):
        msg = f"{key!r} is not a node key: expected 64 or {KEY_DIGITS} hex digits"
        raise ValueError(msg)
    return key


def read_run(folder: Path) -> dict[str, Any]:
    """Return the record of an attempt, its state as far as it can be known.

    'running' turns into 'lost' when the process is gone from this machine, or when it
    has been silent for STALE_BEATS heartbeats. Without a record it was killed at once.
    """
    try:
        record = json.loads((folder / RUN).read_bytes())
        if not isinstance(record, dict):
            raise TypeError
    except (OSError, ValueError, TypeError):
        record = {"attempt": folder.name, "state": "running", "started": None}
        record["message"] = (
            "killed before its record was written, or the record is torn"
        )
    if record["state"] == "running" and _is_lost(record, folder):
        record["state"] = "lost"
    return record


def _is_lost(record: Mapping[str, Any], folder: Path) -> bool:
    if record.get("machine") == this_machine():
        return process_start(int(record["pid"])) != record.get("process_start")
    if "machine" not in record:  # killed before its record: the id says where and which
        found = _ATTEMPT.fullmatch(folder.name)
        if (
            found
            and found["host"] == host_name()
            and not process_start(int(found["pid"]))
        ):
            return True
    try:
        beat = (folder / HEARTBEAT).stat().st_mtime
    except OSError:
        try:
            beat = folder.stat().st_mtime
        except OSError:
            return True
    return time.time() - beat > STALE_BEATS * float(record.get("heartbeat_s") or 30)


def host_name() -> str:
    """Return this host's name as it stands in attempt ids: letters, digits, hyphens."""
    name = socket.gethostname()[:24]
    return "".join(one if one.isalnum() else "-" for one in name) or "host"


def user_name() -> str:
    """Return the name that SLURM knows this process's user by."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@cache
def this_machine() -> str:
    """Name what a process id is unique within: host, boot and process-id namespace."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        pass  # not Linux: the host's name has to do
    return "/".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process of this machine started (opaque), or None if it is gone.

    The start tells a process from a later one that was given the same id.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    else:
        return None if fields[0] in {"Z", "X"} else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"
