"""The right to do something alone, held by one process of a results folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..schema.errors import UserError
from .durable import create_exclusively, draft_name, writing
from .records import process_start, this_machine

SILENT_S = 600.0  # a holder on another machine that has not moved for so long is gone


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[Callable[[], None]]:
    """Hold the lock file `path`; yield a function to call now and then while at work.

    Raises UserError, saying that `what` is at work already, while another process has
    it. The lock of a process that is gone from this machine is taken over at once; that
    of another machine when it has been silent for SILENT_S.
    """
    mine = json.dumps(
        {
            "machine": this_machine(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_start": process_start(os.getpid()),
        }
    ).encode()
    with writing(path.parent.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        while not create_exclusively(path, mine):
            _take_over(path, what)
    try:
        yield lambda: _touch(path)
    finally:
        with contextlib.suppress(OSError):
            if path.read_bytes() == mine:  # not another's, who took us for dead
                path.unlink()


def _take_over(path: Path, what: str) -> None:
    """Remove the lock of a holder that is gone, or raise UserError."""
    try:
        found, silent_s = path.read_bytes(), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return
    try:
        holder = dict(json.loads(found))
    except (ValueError, TypeError):
        holder = {}
    if not _is_gone(holder, silent_s):
        pid, host = holder.get("pid", "?"), holder.get("host", "?")
        msg = (
            f"{what} is at work already (process {pid} on {host}): wait for it, or "
            f"remove {path} if it is gone"
        )
        raise UserError(msg)
    taken = draft_name(path)
    with contextlib.suppress(FileNotFoundError):
        path.rename(taken)
        if taken.read_bytes() != found:  # somebody was quicker: give the lock back
            create_exclusively(path, taken.read_bytes())
        taken.unlink()


def _is_gone(holder: dict[str, object], silent_s: float) -> bool:
    if holder.get("machine") == this_machine():
        start = process_start(int(str(holder.get("pid", 0))))
        return start is None or start != holder.get("process_start")
    return silent_s > SILENT_S


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)
