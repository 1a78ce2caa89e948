"""Short texts that change with what files hold, and not with their date or place."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path

_SAMPLES = 16  # blocks of an uncompressed file that enter its stamp
_SAMPLES_OF_MANY = 2  # of each file of a folder: first and last
_BLOCK = 4096
_HEADERS = (".mhd", ".nhdr")
_DETACHED = re.compile(rb"(?im)^(?:ElementDataFile *=|data ?file:) *(.+)$")


def stamp(path: Path) -> str:
    """Return the stamp of a file, or of a folder with all files that lie in it.

    A .gz file ends with the CRC-32 and length of its content: with its size they make
    the stamp. Of other files the size and a hash of sixteen spread blocks of 4 kB are
    taken, of the files of a folder their names, sizes, first and last blocks. A header
    whose voxels lie in a file of their own (.mhd, .nhdr) has the stamps of both. Raises
    OSError.
    """
    if path.is_dir():
        found = sha256()
        files = sorted(each for each in path.iterdir() if each.is_file())
        for file in files:
            found.update(f"{file.name}:{_sampled(file, _SAMPLES_OF_MANY)}\n".encode())
        return f"{len(files)}:{found.hexdigest()[:16]}"
    if path.name.endswith(".gz"):
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 8))
            return f"{size}:{stream.read(8).hex()}"
    voxels = voxels_of(path)
    own = _sampled(path, _SAMPLES)
    return own if voxels is None else f"{own}+{stamp(voxels)}"


def voxels_of(header: Path) -> Path | None:
    """Return the one file of voxels that a detached header names, if it is such a one."""
    if header.suffix.lower() not in _HEADERS:
        return None
    with header.open("rb") as stream:
        text = stream.read(_BLOCK)
    named = _DETACHED.search(text)
    name = named[1].strip().decode(errors="replace") if named else "LOCAL"
    # a list of files, one per slice, is left to the reader
    return (
        None
        if name.split(" ")[0] in ("LOCAL", "LIST") or "%" in name
        else (header.parent / name)
    )


def _sampled(path: Path, samples: int) -> str:
    """Return the size of a file and a hash of spread blocks of it."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        # A small file, of which a corpus may have 100,000s, is read in one go.
        whole = stream.read() if size <= samples * _BLOCK else None
        spread = sha256()
        for k in range(samples):
            start = (size - _BLOCK) * k // (samples - 1) if size > _BLOCK else 0
            if whole is None:
                stream.seek(start)
                spread.update(stream.read(_BLOCK))
            else:
                spread.update(whole[start : start + _BLOCK])
        return f"{size}:{spread.hexdigest()[:16]}"
