"""Whether a file system keeps the promises that the store rests on.

Looked at by trying, in a folder of its own that is removed again: what a mount claims to
be says little about what it does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..schema.findings import Finding, Grade

FREE_BYTES = (
    20 * 10**9
)  # below this a warning: a few checkpoints of the largest encoder
LEAST_BYTES = 500 * 10**6  # below this nothing useful fits
FREE_INODES = 200_000  # a node leaves about 8 files: 10,000 cells and room for logs
_CLOCK_S = 5.0  # by how much this machine and the file server may differ
_RACERS, _RACES = 4, 20


def examine(root: Path, *, needed_bytes: int = 0) -> list[Finding]:
    """Return findings about the results folder `root`, or where it would be made.

    needed_bytes: what the plan will write. Nothing is left behind.
    """
    place = root
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        said = f"{place} is no folder"
        return [Finding("results folder", "fail", said, "choose another: --results")]
    trial = place / f".doctor-{secrets.token_hex(6)}"
    try:
        trial.mkdir()
    except OSError as error:
        said = f"{place} cannot be written to ({error.strerror})"
        advice = "make it writable or choose another with --results"
        return [Finding("results folder", "fail", said, advice)]
    try:
        return [
            Finding("results folder", "ok", f"{root} can be written to"),
            *_trials(trial),
            *_room(place, needed_bytes),
            *_sharing(place),
        ]
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _trials(trial: Path) -> Iterator[Finding]:
    for name, look, advice in (
        ("rename", _rename, "results could be torn: use another file system"),
        (
            "exclusive creation",
            _exclusive,
            "two jobs could publish one node: use another",
        ),
        ("times of folders", _folder_time, "new results could go unseen: use another"),
    ):
        try:
            fault = look(trial)
        except OSError as error:
            fault = error.strerror or str(error)
        grade: Grade = "ok" if fault is None else "fail"
        yield Finding(name, grade, fault or "as it should be", advice if fault else "")
    yield _links(trial)
    yield _clock(trial)


def _rename(trial: Path) -> str | None:
    """Put a file over another while it is read; a reader must see either, whole."""
    target, size = trial / "target", 1 << 16
    target.write_bytes(b"a" * size)
    for letter in b"bcd":
        draft = trial / "draft"
        draft.write_bytes(bytes([letter]) * size)
        with target.open("rb") as before:
            draft.replace(target)
            if len(set(before.read())) != 1:
                return "a file changed under its reader when another took its name"
        if target.read_bytes() != bytes([letter]) * size:
            return "a renamed file did not have its own bytes"
    return None


def _exclusive(trial: Path) -> str | None:
    """Let several threads create the same names at once: one each may succeed."""

    def create(number: int) -> bool:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            os.close(os.open(trial / f"race-{number}", flags, 0o666))
        except FileExistsError:
            return False
        return True

    for number in range(_RACES):
        with ThreadPoolExecutor(_RACERS) as pool:
            won = sum(pool.map(create, [number] * _RACERS))
        if won != 1:
            return f"{won} of {_RACERS} created the same file"
    return None


def _folder_time(trial: Path) -> str | None:
    folder = trial / "times"
    folder.mkdir()
    before = folder.stat().st_mtime_ns
    for _ in range(50):  # the clock of the coarsest file system ticks every 2 s
        time.sleep(0.05)
        (folder / "new").touch()
        if folder.stat().st_mtime_ns != before:
            return None
        (folder / "new").unlink()
    return "a folder's time stays when a file is added"


def _links(trial: Path) -> Finding:
    first, second = trial / "first", trial / "second"
    first.write_text("a")
    try:
        second.hardlink_to(first)
    except OSError as error:
        said = f"not supported ({error.strerror})"
        advice = "results are published with O_EXCL instead, which works too"
        return Finding("hard links", "ok", f"{said}: {advice}")
    try:
        second.hardlink_to(first)
    except FileExistsError:
        return Finding("hard links", "ok", "as they should be")
    except OSError:
        pass
    said = "a link replaced a file that was there"
    advice = "two jobs could publish one node: use another file system"
    return Finding("hard links", "fail", said, advice)


def _clock(trial: Path) -> Finding:
    probe = trial / "clock"
    before = time.time()
    probe.touch()
    after = time.time()
    stamp = probe.stat().st_mtime
    ahead = max(before - stamp, stamp - after, 0.0)
    if ahead <= _CLOCK_S:
        return Finding("clock", "ok", "agrees with that of the file server")
    said = f"this machine and the file server differ by {ahead:.0f} s"
    advice = "running attempts elsewhere may look lost: have the clocks set (NTP)"
    return Finding("clock", "warn", said, advice)


def _room(place: Path, needed: int) -> Iterator[Finding]:
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    said = f"{free / 1e9:,.1f} GB free"
    if needed:
        said += f", about {needed / 1e9:,.1f} GB needed by what is left to do"
    if free < LEAST_BYTES:
        yield Finding("disk space", "fail", said, "free some space, or use --results")
    elif free < max(FREE_BYTES, needed * 5 // 4):
        yield Finding("disk space", "warn", said, "`harness clean` lists what can go")
    else:
        yield Finding("disk space", "ok", said)
    if found.f_files == 0:  # Btrfs and some network disks make them as needed
        yield Finding("inodes", "ok", "without a limit")
        return
    said = f"{found.f_favail:,} free"
    low = found.f_favail < FREE_INODES
    advice = "many small files may not fit: `harness clean`, or ask for a higher quota"
    yield Finding("inodes", "warn" if low else "ok", said, advice if low else "")


def _sharing(place: Path) -> Iterator[Finding]:
    """Look at what a group that shares the folder would trip over."""
    mode = place.stat().st_mode
    if not mode & stat.S_IWGRP:
        yield Finding("sharing", "ok", "only its owner writes here")
        return
    mask = os.umask(0)
    os.umask(mask)
    if not mode & stat.S_ISGID:
        said = "the group may write, but new files get each person's own group"
        yield Finding("sharing", "warn", said, f"chmod g+s {place}")
    elif mask & stat.S_IWGRP:
        said = (
            f"the group may write, but your umask {mask:03o} keeps it from your files"
        )
        yield Finding(
            "sharing", "warn", said, "umask 002, in your shell's start-up file"
        )
    else:
        yield Finding("sharing", "ok", "the group reads and writes what you write")
