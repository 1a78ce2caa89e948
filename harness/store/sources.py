"""Where nodes are imported from: a tar file, or a folder. Files are opened by name only."""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from ..schema.errors import UserError

_MANIFEST = re.compile(r"done/[0-9a-f]{2}/[0-9a-f]{16}\.json")


class Source(Protocol):
    """Where nodes are imported from: files by name, below one root."""

    def manifests(self) -> list[str]:
        """Return the names of the manifests."""

    def open(self, name: str) -> IO[bytes] | None:
        """Open a plain file, or return None if there is none of that name."""


class Folder:
    """A results folder, or a tar that somebody has unpacked."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def manifests(self) -> list[str]:
        """Return the names of the manifests."""
        found = (path.relative_to(self._root) for path in self._root.glob("done/*/*"))
        return sorted(p.as_posix() for p in found if _MANIFEST.fullmatch(p.as_posix()))

    def open(self, name: str) -> IO[bytes] | None:
        """Open a plain file; links count as missing."""
        path = self._root / name
        inside = path.resolve() == self._root.resolve() / name
        return path.open("rb") if inside and path.is_file() else None


class Tar:
    """A tar file. Of two members with one name the first counts."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members: dict[str, tarfile.TarInfo] = {}
        for member in tar:
            self._members.setdefault(member.name, member)

    def manifests(self) -> list[str]:
        """Return the names of the manifests."""
        return sorted(name for name in self._members if _MANIFEST.fullmatch(name))

    def open(self, name: str) -> IO[bytes] | None:
        """Open a plain file; links and devices count as missing."""
        member = self._members.get(name)
        if member is None or not member.isreg():
            return None
        return self._tar.extractfile(member)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a tar file or a folder to import from. Raises UserError."""
    if path.is_dir():
        yield Folder(path)
        return
    try:
        with tarfile.open(path) as tar:
            yield Tar(tar)
    except (OSError, EOFError, tarfile.TarError) as error:
        msg = (
            f"{path} cannot be read as a tar file or a results folder ({error}): nodes "
            "that were imported before stay"
        )
        raise UserError(msg) from error
