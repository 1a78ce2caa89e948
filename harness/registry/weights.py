"""Files of weights that others trained: where they are, and what they hold (sha256).

A file is known by its digest, which is written down beside the caches, so that a plan
hashes it once. A URL is fetched on demand into a folder of the cache, under the rules of
datasets: what the publisher's digest or the first fetch says holds from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..schema.errors import DataError
from ..schema.identity import digest
from ..schema.task import SourceFile
from ..volumes.fetch import FetchProgress, fetch_file
from .describe import cache_folder

_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")


@dataclass(frozen=True)
class Weights:
    """A file of weights as an entry names it.

    path: where it is, or will be once its URL is fetched; sha256: of the file that is
    there, else the one that was stated; problem: why it cannot be used now, or None.
    """

    path: Path
    url: str | None
    sha256: str | None
    problem: str | None = None


def find_weights(named: str, stated: str | None, home: Path, method: str) -> Weights:
    """Find the file that an entry calls `named`, a path or a URL (file, http, https).

    stated: its sha256 if the entry says so; home: the folder that a relative path starts
    from. Raises ValueError, one sentence, for a URL of another kind, a digest that is
    none, and a file that has another digest.
    """
    if stated is not None and not _HEX.match(stated):
        msg = f"sha256: expected 64 hexadecimal digits, not {stated[:80]!r}"
        raise ValueError(msg)
    path, url = _place(named, home)
    if not path.is_file():
        get = (
            f"run `harness data fetch {method}`"
            if url
            else "put the file there, or correct 'weights'"
        )
        problem = f"the weights of {method} are missing ({path}): {get}"
        return Weights(path, url, stated and stated.lower(), problem)
    found = file_digest(path)
    if stated is not None and stated.lower() != found:
        msg = f"the sha256 of {path} is {found}, not {stated.lower()} as stated"
        raise ValueError(msg)
    return Weights(path, url, found)


def _place(named: str, home: Path) -> tuple[Path, str | None]:
    scheme = urlsplit(named).scheme if "://" in named else ""
    if scheme == "file":
        return Path(url2pathname(urlsplit(named).path)), None
    if scheme in ("http", "https"):
        name = PurePosixPath(urlsplit(named).path).name or "weights"
        return cache_folder() / "weights" / digest(named)[:16] / name, named
    if scheme:
        msg = f"weights: {scheme}:// cannot be fetched; expected a path, file or https"
        raise ValueError(msg)
    return home / os.path.expanduser(named), None  # noqa: PTH111 - '~nobody' is kept


def fetch_weights(weights: Weights, progress: FetchProgress | None = None) -> Path:
    """Download the file of an entry to where it is looked for; return where it lies.

    Raises DataError where the entry names a file of its own, and for what can go wrong
    on the way.
    """
    if weights.url is None:
        msg = f"{weights.path} is named by its path: there is nothing to fetch"
        raise DataError(msg)
    page = "the entry of the method" if weights.sha256 else None
    file = SourceFile(
        url=weights.url, path=weights.path.name, sha256=weights.sha256, digest_page=page
    )
    fetch_file(file, weights.path, progress)
    return weights.path


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hashed once as long as its size and time stay."""
    status = path.stat()
    name = str(path.resolve())
    about: list[str | int] = [name, status.st_size, status.st_mtime_ns]
    note = cache_folder() / "weights" / f"{digest(about)[:32]}.json"
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f"{note.name}.{os.getpid()}")
        draft.write_text(json.dumps({"sha256": found, "file": name}))
        draft.replace(note)
    except OSError:
        return found  # a cache that cannot be written is no error
    return found
