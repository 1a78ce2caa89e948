"""Short texts that change with what files hold, and not with their date or place."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

_SAMPLES = 16  # blocks of an uncompressed file that enter its stamp
_SAMPLES_OF_MANY = 2  # of each file of a folder: first and last
_BLOCK = 4096


def stamp(path: Path) -> str:
    """Return the stamp of a file, or of a folder with all files that lie in it.

    A .gz file ends with the CRC-32 and length of its content: with its size they make
    the stamp. Of other files the size and a hash of sixteen spread blocks of 4 kB are
    taken, of the files of a folder their names, sizes, first and last blocks. Raises
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
    return _sampled(path, _SAMPLES)


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
