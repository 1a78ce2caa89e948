"""Fetching the files of a dataset: resumed, checked against digests, unpacked safely.

A file is downloaded to `NAME.part` and renamed once its digest is right. The digest is
the publisher's where the task file cites one; otherwise the first fetch writes it to
`NAME.digest.json`, and every later fetch must match that.
"""

from __future__ import annotations

import errno
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5, sha256
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from ..schema.errors import DataError
from ..schema.task import SourceFile, TaskSpec
from .unpack import inside, is_unpacked, unpack

# Called with (file, bytes done, bytes in all or None where the server does not say).
FetchProgress = Callable[[Path, int, int | None], None]

TIMEOUT_S = 60
_CHUNK = 1 << 20
_HTML = (b"<!doctype html", b"<html")


def fetch(
    spec: TaskSpec, data_root: Path, progress: FetchProgress | None = None
) -> list[Path]:
    """Bring every file of the task below `data_root`; return where they lie.

    What is there already and has the right digest is not fetched again; an interrupted
    download goes on where it stopped. Raises DataError, one sentence on what failed.
    """
    source = spec.source
    if not source.files:
        msg = (
            source.how or f"there is no file to fetch; get the data from {source.page}"
        )
        raise DataError(msg)
    found = []
    for file in source.files:
        target = inside(data_root, file.path, file.url)
        if not is_unpacked(target):
            fetch_file(file, target, progress)
            if file.unpack != "no":
                with _disk_errors(target):
                    unpack(target, file.unpack)
        found.append(target)
    return found


def fetch_file(
    file: SourceFile, target: Path, progress: FetchProgress | None = None
) -> None:
    """Bring one file to `target`, resumed and checked. Raises DataError as `fetch`."""
    with _disk_errors(target):
        _fetch_file(file, target, progress)


def _fetch_file(file: SourceFile, target: Path, progress: FetchProgress | None) -> None:
    if target.exists():
        _check(file, target, target)
        return
    part = _beside(target, ".part")
    _download(file.url, part, progress)
    try:
        _check(file, part, target)
    except DataError:  # going on from wrong bytes would never end well
        part.unlink()
        _beside(part, ".json").unlink(missing_ok=True)
        raise
    part.replace(target)
    _beside(part, ".json").unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _check(file: SourceFile, path: Path, target: Path) -> None:
    """Compare digests; write the sha256 down at the first fetch. Raises DataError."""
    whole, short = sha256(), md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            whole.update(chunk)
            short.update(chunk)
    note = _beside(target, ".digest.json")
    known = _read_json(note).get("sha256")
    wanted = (
        ("sha256", file.sha256, whole.hexdigest(), f"printed on {file.digest_page}"),
        ("md5", file.md5, short.hexdigest(), f"printed on {file.digest_page}"),
        ("sha256", known, whole.hexdigest(), f"of the first fetch, in {note}"),
    )
    for name, expected, got, origin in wanted:
        if expected is not None and expected.lower() != got:
            remedy = "" if path != target else f"; delete {target} to fetch it again"
            msg = (
                f"{file.url}: the {name} of the file is {got}, not {expected} as "
                f"{origin}{remedy}"
            )
            raise DataError(msg)
    if known is None:
        content = {"sha256": whole.hexdigest(), "bytes": path.stat().st_size}
        note.write_text(json.dumps({**content, "url": file.url}) + "\n")


def _download(url: str, part: Path, progress: FetchProgress | None) -> None:
    """Download `url` to `part`, going on from what is there. Raises DataError."""
    if not url.startswith(("http://", "https://")):
        msg = f"{url}: only http and https can be fetched"
        raise DataError(msg)
    with _network_errors(url):
        response = _ask(url, part, _read_json(_beside(part, ".json")))
        if response is None:  # all of it is there
            return
        with response:
            done, total = _save(url, response, part, progress)
    if total is not None and done != total:
        msg = f"{url}: got {done} of {total} bytes; run the same command to go on"
        raise DataError(msg)


def _save(
    url: str, response: HTTPResponse, part: Path, progress: FetchProgress | None
) -> tuple[int, int | None]:
    """Write the body to `part`; return the bytes there and those announced."""
    done = part.stat().st_size if response.status == 206 else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length and length.isdigit() else None
    chunk = response.read(_CHUNK)
    _refuse_html(url, response.headers.get("Content-Type", ""), b"" if done else chunk)
    part.parent.mkdir(parents=True, exist_ok=True)
    _check_space(url, part, done, total)
    state = {"url": url, "validator": _validator(response)}
    _beside(part, ".json").write_text(json.dumps(state))
    with part.open("ab" if done else "wb") as stream:
        while chunk:
            stream.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(part, done, total)
            chunk = response.read(_CHUNK)
    return done, total


def _ask(url: str, part: Path, state: dict[str, Any]) -> HTTPResponse | None:
    """Open the URL, from where `part` ends if it is of the same file.

    Returns None if nothing is left to download.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "medssl-bench"}
    have = part.stat().st_size if part.exists() else 0
    resume = have > 0 and state.get("url") == url
    if resume:
        headers["Range"] = f"bytes={have}-"
        if state.get("validator"):  # else the digest alone tells a changed file
            headers["If-Range"] = str(state["validator"])
    request = urllib.request.Request(url, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if error.code != 416 or not resume:
            raise
        error.close()
        if total == str(have):
            return None
        part.unlink()
        return _ask(url, part, {})
    if resume and response.status == 206 and _first_byte(response) != have:
        response.close()
        part.unlink()
        return _ask(url, part, {})
    return response


def _first_byte(response: HTTPResponse) -> int | None:
    """Return where the body of a partial answer starts ('bytes 100-199/200')."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _validator(response: HTTPResponse) -> str | None:
    """Return what identifies this version of the file; weak tags cannot be used."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    modified = response.headers.get("Last-Modified")
    return None if modified is None else str(modified)


def _refuse_html(url: str, content_type: str, head: bytes) -> None:
    """Raise DataError for a web page, which servers send instead of an error code."""
    page = content_type.split(";")[0].strip().lower() == "text/html"
    if page or head.lstrip().lower().startswith(_HTML):
        msg = (
            f"{url}: the server sent a web page, not the file; look at it in a browser"
        )
        raise DataError(msg)


def _check_space(url: str, part: Path, start: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        msg = (
            f"{url}: needs {(total - start) / 1e9:.2f} GB, but {part.parent} has "
            f"{free / 1e9:.2f} GB left"
        )
        raise DataError(msg)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        msg = f"{url}: the server answered {error.code} {error.reason}"
        raise DataError(msg) from None
    except (
        urllib.error.URLError,
        HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        msg = f"{url}: the connection failed ({reason}); run the same command to go on"
        raise DataError(msg) from None


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"no space left in {target.parent}; free some and fetch again"
            raise DataError(msg) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            msg = f"{target.parent} cannot be written; choose another data folder"
            raise DataError(msg) from error
        raise
