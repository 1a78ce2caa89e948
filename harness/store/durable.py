"""Files that are either whole or absent, whatever is killed and whenever.

New files are made with the user's umask (tempfile would make them private), beside
their final name, and get that name only when their bytes are on disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from ..schema.errors import UserError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
    | {errno.EMLINK, errno.EXDEV}
)
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES})
# Writers in C report a full disk in words only: NumPy's tofile counts what it could not
# write, others quote the system's sentence.
_FULL_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written"
)
_CHUNK = 1 << 20


class DiskFull(UserError):
    """The disk of the results folder is full; nothing was published."""


def is_full(error: BaseException | None) -> bool:
    """Say whether an error, or what caused it, is a full disk or a used-up quota."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DiskFull):
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, Exception) and _FULL_TEXT.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn the system's refusals to write below `root` into one clear sentence."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            msg = (
                f"the disk of the results folder {root} is full: free some space or "
                "choose another folder with --results, then run again"
            )
            raise DiskFull(msg) from error
        if error.errno in _READ_ONLY:
            msg = (
                f"the results folder {root} cannot be written to "
                f"({error.strerror or error}): make it writable or choose another "
                "with --results"
            )
            raise UserError(msg) from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            msg = (
                f"the results folder {root} cannot be used, since {error.filename} is "
                "in the way: move it or choose another folder with --results"
            )
            raise UserError(msg) from error
        raise


def draft_name(path: Path) -> Path:
    """Return a hidden name beside `path` that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def write_draft(path: Path, data: bytes, *, sync: bool = True) -> Path:
    """Write `data` to a hidden file beside `path` and return it, or leave nothing."""
    draft = draft_name(path)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _write_all(descriptor, data, sync=sync)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return draft


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Put a file in place whole, replacing an older one. `sync` waits for the disk."""
    draft = write_draft(path, data, sync=sync)
    put_in_place(draft, path, sync=sync)


def put_in_place(draft: Path, path: Path, *, sync: bool = True) -> None:
    """Give a finished draft its name, or remove the draft if that fails."""
    try:
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    if sync:
        sync_folder(path.parent)


def create_exclusively(path: Path, data: bytes) -> bool:
    """Create `path` with `data` unless it exists. Return whether this call created it.

    A hard link makes the whole file appear at once. Where the disk has no hard links,
    the file is created exclusively and then written: a reader may see it torn.
    """
    draft = write_draft(path, data)
    try:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return _is_same(draft, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create(path, data)
        return True
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _is_same(draft: Path, path: Path) -> bool:
    # NFS repeats a request whose answer was lost; the second one finds its own work.
    try:
        return draft.samefile(path)
    except OSError:
        return False


def _create(path: Path, data: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        _write_all(descriptor, data, sync=True)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return True


def _write_all(descriptor: int, data: bytes, *, sync: bool) -> None:
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on disk, if the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_and_hash(path: Path) -> tuple[int, str]:
    """Wait until a file is on disk. Return its size in bytes and its sha256 (hex)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return _hash(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> tuple[int, str]:
    """Return a file's size in bytes and its sha256 (hex)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _hash(descriptor)
    finally:
        os.close(descriptor)


def _hash(descriptor: int) -> tuple[int, str]:
    size, state = 0, sha256()
    while chunk := os.read(descriptor, _CHUNK):
        size += len(chunk)
        state.update(chunk)
    return size, state.hexdigest()
