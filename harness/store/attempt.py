"""One execution of a node: its folder, its record and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from ..schema.errors import UserError
from . import manifests, spent
from .durable import DiskFull, is_full, sync_and_hash, sync_folder, write_bytes, writing
from .records import (
    FORMAT,
    HEARTBEAT,
    LOG,
    PUBLISHED_NAME,
    RUN,
    ErrorClass,
    FileEntry,
    Manifest,
    State,
    host_name,
    process_start,
    this_machine,
)

if TYPE_CHECKING:
    from .store import Store

_RESERVE = ".reserve"
_RESERVE_BYTES = 1 << 16  # room for the record of a failure on a disk that is full
_TRACEBACK_TAIL = 8_000  # characters of a traceback that are kept
_OWN = frozenset({RUN, LOG, HEARTBEAT})


def now() -> str:
    """Return the time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_attempt_id() -> str:
    """Return an id that sorts by time and is unique across hosts and processes."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    return f"{stamp}-{host_name()}-{os.getpid()}-{secrets.token_hex(4)}"


def classify(error: BaseException) -> ErrorClass:
    """Return the error class of an exception that ended an attempt."""
    if is_full(error):
        return "disk_full"
    if isinstance(error, UserError):
        return "data"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "oom"
    if isinstance(error, TimeoutError):
        return "timeout"
    if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit
        return "interrupted"
    return "code"


class Attempt:
    """A running execution of a node. Write files into it, then `publish` or `fail`.

    Use it in a `with` statement: an exception that leaves the block fails the attempt.
    """

    def __init__(
        self, store: Store, key: str, folder: Path, record: dict[str, Any]
    ) -> None:
        """Register the attempt in its new, empty folder (made by `Store.begin`)."""
        self.key = key
        self.dir = folder
        self.id = folder.name
        self._store = store
        self._began = time.monotonic()
        self._measured: dict[str, Any] = {}
        self._ended: State | None = None
        self._silence = threading.Event()
        self._record: dict[str, Any] = {
            "format": FORMAT,
            "attempt": self.id,
            "state": "running",
            "started": now(),
            "finished": None,
            "wall_s": None,
            "error_class": None,
            "message": None,
            "traceback_hash": None,
            "traceback": None,
            "host": socket.gethostname(),
            "machine": this_machine(),
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
            "heartbeat_s": store.heartbeat_s,
            **record,
        }
        # Bytes that no disk can compress or leave out.
        write_bytes(folder / _RESERVE, os.urandom(_RESERVE_BYTES), sync=False)
        (folder / HEARTBEAT).touch()
        # Not waited for: without its record a lost attempt still reads as lost.
        self._write(sync=False)
        beat = threading.Thread(target=self._beat, name=f"beat-{self.id}", daemon=True)
        beat.start()

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._fail_by(error)
        elif self._ended is None:
            self.fail("code", "the attempt ended without publishing anything")

    @property
    def state(self) -> State:
        """How the attempt stands."""
        return self._ended or "running"

    @property
    def log(self) -> Path:
        """The text file for this attempt's output."""
        return self.dir / LOG

    def path(self, name: str) -> Path:
        """Return where to write the file `name`, which `publish` will publish."""
        if not PUBLISHED_NAME.fullmatch(name) or name in _OWN:
            msg = f"{name!r} cannot name a published file"
            raise ValueError(msg)
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def note(self, **measured: Any) -> None:
        """Keep what was measured, for the runs table: device, gpu_h, n_train, ..."""
        self._measured.update(measured)

    def publish(
        self, labels: Mapping[str, Any] | None = None
    ) -> Literal["published", "duplicate"]:
        """Publish every file of the folder under the node's key, all or nothing.

        The first attempt wins; a later one is recorded as 'duplicate'. `labels` are
        added to those of the spec. Raises DiskFull, UserError (read-only folder), or
        ValueError (nothing to publish); the attempt has then failed, with its reason.
        """
        if self._ended is not None:
            msg = f"attempt {self.id} has ended as {self._ended}"
            raise RuntimeError(msg)
        self._record["labels"] = {**self._record["labels"], **(labels or {})}
        try:
            with writing(self._store.root):
                manifest = self._manifest()
                created = manifests.publish(self._store.root, manifest)
        except BaseException as error:
            self._fail_by(error)
            raise
        self._end("done" if created else "duplicate")
        return "published" if created else "duplicate"

    def _manifest(self) -> Manifest:
        files = {}
        folders = {self.dir}
        for path in sorted(self.dir.rglob("*")):
            name = path.relative_to(self.dir).as_posix()
            if name in _OWN or path.name.startswith("."):
                continue
            if path.is_symlink() or not PUBLISHED_NAME.fullmatch(name):
                msg = (
                    f"{name!r} cannot be published: a plain file with a plain name can"
                )
                raise ValueError(msg)
            if path.is_dir():
                folders.add(path)
            else:
                files[name] = FileEntry(*sync_and_hash(path))
        if not files:
            msg = f"attempt {self.id} has no files to publish"
            raise ValueError(msg)
        node = self.dir.parent.parent
        above = [self.dir.parent, node, node.parent, node.parent.parent]
        for folder in [*sorted(folders, reverse=True), *above]:
            sync_folder(folder)
        self._finish()
        kept = ("host", "wall_s", "peak_mem_bytes")
        return Manifest(
            key=self.key,
            kind=str(self._record["kind"]),
            attempt=self.id,
            published=now(),
            files=files,
            labels=self._record["labels"],
            run={
                **{name: self._record[name] for name in kept},
                **self._measured,
                **self._before(),
            },
        )

    def _before(self) -> dict[str, Any]:
        others = [
            one for one in self._store.attempts(self.key) if one["attempt"] != self.id
        ]
        return spent.before((one, self.dir.parent / one["attempt"]) for one in others)

    def fail(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        error: BaseException | None = None,
    ) -> None:
        """End the attempt as failed, or blocked for error class 'blocked'.

        Takes the traceback of `error`, or of the exception being handled. Does nothing
        if the attempt has ended already, so an outer handler may call it again.
        """
        if self._ended is not None:
            return
        error = error or sys.exception()
        trace = "".join(traceback.format_exception(error)) if error else None
        self._record |= {
            "error_class": error_class,
            "message": message,
            "traceback": trace[-_TRACEBACK_TAIL:] if trace else None,
            "traceback_hash": _traceback_hash(error),
        }
        self._finish()
        if error_class == "disk_full":
            self._drop_files()
        self._end("blocked" if error_class == "blocked" else "failed")

    def _fail_by(self, error: BaseException) -> None:
        kind, message = classify(error), str(error) or type(error).__name__
        if kind == "disk_full" and not isinstance(error, DiskFull):
            message = f"the disk of {self._store.root} is full ({message})"
        self.fail(kind, message, error=error)

    def _finish(self) -> None:
        # Linux counts the peak in KiB, macOS in bytes. It is the process's peak: a warm
        # worker's later attempts may show an earlier one's.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        self._record |= {
            "finished": now(),
            "wall_s": round(time.monotonic() - self._began, 3),
            "peak_mem_bytes": peak,
        }

    def _drop_files(self) -> None:
        # What a failed attempt has written is of no use and keeps the disk full.
        for path in self.dir.rglob("*"):
            if path.name not in _OWN and not path.is_dir():
                with contextlib.suppress(OSError):
                    path.unlink()

    def _end(self, state: State) -> None:
        self._ended = state
        self._silence.set()
        self._record["state"] = state
        with contextlib.suppress(OSError):
            (self.dir / _RESERVE).unlink()
        try:
            self._write()
        except OSError as error:
            # Readers see a published attempt by its manifest and a failed one as lost.
            sys.stderr.write(
                f"attempt {self.id} ended as {state}: {self._record['message'] or ''}; "
                f"its record could not be written ({error})\n"
            )
        with contextlib.suppress(OSError):
            (self.dir / HEARTBEAT).unlink()

    def _write(self, *, sync: bool = True) -> None:
        document = self._record | {"measured": self._measured}
        text = json.dumps(document, indent=1, default=str)
        write_bytes(self.dir / RUN, text.encode() + b"\n", sync=sync)

    def _beat(self) -> None:
        while not self._silence.wait(self._store.heartbeat_s):
            with contextlib.suppress(OSError):
                os.utime(self.dir / HEARTBEAT)


def _traceback_hash(error: BaseException | None) -> str | None:
    # Equal for the same fault in two cells: where it was raised, without the message.
    if error is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f"{Path(frame.filename).name}:{frame.name}:{frame.line}" for frame in frames
    ]
    text = "\n".join([type(error).__name__, *places])
    return sha256(text.encode()).hexdigest()[:16]
