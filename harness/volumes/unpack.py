"""Unpacking archives whose content is not trusted."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from ..schema.errors import DataError

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # a zip with a password or an unknown compression
)
_Member = tuple[str, int, "IO[bytes] | None"]  # name, size, content (None: a folder)


def inside(root: Path, path: str, what: str) -> Path:
    """Return root/path. Raises DataError if `path` would lead out of `root`."""
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        msg = (
            f"{what}: the path {path!r} leads out of the data folder, which is refused"
        )
        raise DataError(msg)
    return root / parts


def is_unpacked(archive: Path) -> bool:
    """Return whether what `unpack` made of this archive, perhaps gone, is there."""
    try:
        made = _marker(archive).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return all((archive.parent / name).exists() for name in made)


def _marker(archive: Path) -> Path:
    return archive.with_name(archive.name + ".unpacked")


def unpack(archive: Path, kind: Literal["tar", "zip"]) -> None:
    """Unpack beside the archive: everything or nothing.

    Links, devices and paths that lead out are refused; macOS side files (._*) left out.
    Raises DataError, also where something of the same name is there already.
    """
    parent = archive.parent
    building = Path(tempfile.mkdtemp(prefix=f".{archive.name}.", dir=parent))
    try:
        with _archive_errors(archive):
            for name, size, content in _members(archive, kind):
                path = inside(building, name, str(archive))
                if PurePosixPath(name).name.startswith("._"):
                    continue
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                if size > shutil.disk_usage(building).free:
                    msg = f"{archive}: no space left in {parent} to unpack {name}"
                    raise DataError(msg)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    shutil.copyfileobj(content, out, 1 << 20)
        entries = sorted(building.iterdir())
        for entry in entries:
            if (parent / entry.name).exists():
                msg = (
                    f"{parent / entry.name} exists already; move it away to unpack anew"
                )
                raise DataError(msg)
        for entry in entries:
            entry.rename(parent / entry.name)
        made = "".join(f"{entry.name}\n" for entry in entries)
        _marker(archive).write_text(made, encoding="utf-8")
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _members(archive: Path, kind: Literal["tar", "zip"]) -> Iterator[_Member]:
    if kind == "tar":
        with tarfile.open(archive) as tar:
            for member in tar:
                if not (member.isreg() or member.isdir()):
                    raise _refused(archive, member.name)
                content = tar.extractfile(member) if member.isreg() else None
                yield member.name, member.size, content
        return
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            mode = info.external_attr >> 16
            if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, info.filename)
            if info.is_dir():
                yield info.filename, 0, None
                continue
            with zipped.open(info) as content:
                yield info.filename, info.file_size, content


def _refused(archive: Path, name: str) -> DataError:
    msg = f"{archive}: {name!r} is a link or device, which is refused"
    return DataError(msg)


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        msg = f"{archive}: not a readable archive ({error}); delete it and fetch again"
        raise DataError(msg) from error
