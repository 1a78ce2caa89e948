"""Fetching against a server on this machine that can be told to misbehave."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from dataclasses import dataclass, field
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.schema.errors import DataError
from harness.volumes import fetch as fetching
from harness.volumes.fetch import fetch

CONTENT = bytes(range(256)) * 1000


@dataclass
class Site:
    """What the server offers and how it behaves."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    kind: str = "application/octet-stream"
    etag: str | None = '"one"'
    ranges: bool = True
    stop_after: int | None = None  # bytes of the body, then the connection is closed
    lie: bool = False  # answers a range with another one
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        site: Site = self.server.site
        wanted = self.headers.get("Range")
        site.asked.append((self.path, wanted))
        body = site.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") in (None, site.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            said = start + 7 if site.lie else start
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}"
            )
        else:
            self.send_response(200)
        self.send_header("Content-Type", site.kind)
        self.send_header("Content-Length", str(len(body) - start))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        sent = body[start:]
        if (
            site.lie and start
        ):  # the bytes that it says, padded to the length that it says
            sent = body[said:] + body[:7]
        self.wfile.write(sent[: site.stop_after])


@pytest.fixture
def site(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def spec_for(site, make_spec):
    def make(name="data.bin", path=None, **more):
        file = {"url": f"{site.url}/{name}", "path": path or name, **more}
        source = {"page": "http://example.org", "licence": "CC0", "files": [file]}
        return make_spec(1, source=source)

    return make


def names(root):
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_a_file_is_fetched_once_and_its_digest_written_down(site, spec_for, tmp_path):
    site.files["data.bin"] = CONTENT
    seen: list[tuple[int, int | None]] = []

    def progress(path, done, total):
        seen.append((done, total))

    root = tmp_path / "data"
    (target,) = fetch(spec_for(path="sub/data.bin"), root, progress)
    assert target == root / "sub" / "data.bin"
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    note = json.loads((root / "sub" / "data.bin.digest.json").read_text())
    assert note["sha256"] == sha256(CONTENT).hexdigest()
    assert names(root / "sub") == ["data.bin", "data.bin.digest.json"]
    fetch(spec_for(path="sub/data.bin"), root)
    assert len(site.asked) == 1


def test_a_later_fetch_must_match_the_first(site, spec_for, tmp_path):
    site.files["data.bin"] = CONTENT
    (target,) = fetch(spec_for(), tmp_path)
    target.unlink()
    site.files["data.bin"] = CONTENT + b"!"
    with pytest.raises(
        DataError, match=r"the sha256 of the file is .* of the first fetch"
    ):
        fetch(spec_for(), tmp_path)
    assert names(tmp_path) == ["data.bin.digest.json"]
    target.write_bytes(b"changed by hand")
    with pytest.raises(
        DataError, match=r"first fetch.*; delete .*data.bin to fetch it"
    ):
        fetch(spec_for(), tmp_path)


def test_an_interrupted_download_goes_on(site, spec_for, tmp_path):
    site.files["data.bin"] = CONTENT
    site.stop_after = 100_000
    message = r"got 100000 of 256000 bytes; run the same command to go on"
    with pytest.raises(DataError, match=message):
        fetch(spec_for(), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:100_000]
    site.stop_after = None
    (target,) = fetch(spec_for(), tmp_path)
    assert target.read_bytes() == CONTENT
    assert site.asked == [("/data.bin", None), ("/data.bin", "bytes=100000-")]
    assert names(tmp_path) == ["data.bin", "data.bin.digest.json"]


@pytest.mark.parametrize("change", ["content", "ranges", "lie", "no etag", "shorter"])
def test_what_cannot_go_on_starts_again(site, spec_for, tmp_path, change):
    """A changed file, a server without ranges, a wrong range: never a mixed file."""
    site.files["data.bin"] = CONTENT
    site.stop_after = 100_000
    with pytest.raises(DataError, match="go on"):
        fetch(spec_for(), tmp_path)
    site.stop_after = None
    if change == "content":
        site.files["data.bin"], site.etag = CONTENT[::-1], '"two"'
    elif change == "ranges":
        site.ranges = False
    elif change == "lie":
        site.lie = True
    elif change == "shorter":
        site.files["data.bin"] = CONTENT[:50_000]
    else:
        site.etag = None
        (tmp_path / "data.bin.part.json").unlink()
    (target,) = fetch(spec_for(), tmp_path)
    assert target.read_bytes() == site.files["data.bin"]


def test_a_download_that_was_whole_but_not_renamed(site, spec_for, tmp_path):
    site.files["data.bin"] = CONTENT
    url = f"{site.url}/data.bin"
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    state = {"url": url, "validator": site.etag}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(state))
    (target,) = fetch(spec_for(), tmp_path)
    assert target.read_bytes() == CONTENT
    assert site.asked == [("/data.bin", "bytes=256000-")]


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_the_publishers_digest(site, spec_for, tmp_path, name):
    site.files["data.bin"] = CONTENT
    right = {"md5": md5, "sha256": sha256}[name](CONTENT).hexdigest()
    page = "http://example.org/digests"
    wrong = spec_for(**{name: "0" * len(right)}, digest_page=page)
    with pytest.raises(
        DataError,
        match=rf"the {name} of the file is {right}, not 0+ as printed on {page}",
    ):
        fetch(wrong, tmp_path)
    assert names(tmp_path) == []
    (target,) = fetch(spec_for(**{name: right.upper()}, digest_page=page), tmp_path)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/x-tar"])
def test_a_web_page_served_as_a_file(site, spec_for, tmp_path, kind):
    site.files["data.bin"] = b"\n <!DOCTYPE html><title>Please sign in</title>"
    site.kind = kind
    with pytest.raises(DataError, match="the server sent a web page, not the file"):
        fetch(spec_for(), tmp_path / "data")
    assert names(tmp_path) == []


def test_not_found_and_no_server(site, spec_for, tmp_path, make_spec):
    with pytest.raises(
        DataError, match=r"missing.bin: the server answered 404 Not Found"
    ):
        fetch(spec_for("missing.bin"), tmp_path / "data")
    source = {
        "page": "p",
        "licence": "l",
        "files": [{"url": "http://127.0.0.1:9/x", "path": "x"}],
    }
    with pytest.raises(
        DataError, match=r"127.0.0.1:9/x: the connection failed .*refused"
    ):
        fetch(make_spec(1, source=source), tmp_path / "data")
    assert names(tmp_path) == []


def test_odd_sources(make_spec, tmp_path):
    source = {"page": "http://example.org/get", "licence": "l"}
    with pytest.raises(DataError, match=r"get the data from http://example.org/get"):
        fetch(make_spec(1, source=source), tmp_path)
    with pytest.raises(DataError, match="ask the owner"):
        fetch(make_spec(1, source={**source, "how": "ask the owner"}), tmp_path)
    local = {**source, "files": [{"url": "file:///etc/hostname", "path": "x"}]}
    with pytest.raises(DataError, match="only http and https"):
        fetch(make_spec(1, source=local), tmp_path)
    out = {**source, "files": [{"url": "http://127.0.0.1:9/x", "path": "../x"}]}
    with pytest.raises(DataError, match=r"'\.\./x' leads out of the data folder"):
        fetch(make_spec(1, source=out), tmp_path / "data")


def test_no_space(site, spec_for, tmp_path, monkeypatch):
    site.files["data.bin"] = CONTENT
    usage = os.statvfs(tmp_path)
    assert usage.f_bavail * usage.f_frsize > len(CONTENT)

    class Usage:
        free = 1000

    with monkeypatch.context() as patch:
        patch.setattr(fetching.shutil, "disk_usage", lambda _: Usage)
        with pytest.raises(DataError, match=r"needs 0.00 GB, but .* 0.00 GB left"):
            fetch(spec_for(), tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "_check_space", full)
    with pytest.raises(DataError, match="no space left in"):
        fetch(spec_for(), tmp_path)


def test_an_archive_is_unpacked_once_and_may_then_be_deleted(site, spec_for, tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("Task99_Blobs/dataset.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    site.files["blobs.tar"] = out.getvalue()
    spec = spec_for("blobs.tar", unpack="tar")
    (archive,) = fetch(spec, tmp_path)
    assert (tmp_path / "Task99_Blobs" / "dataset.json").read_text() == "{}"
    archive.unlink()
    fetch(spec, tmp_path)
    assert len(site.asked) == 1
    (tmp_path / "Task99_Blobs" / "dataset.json").unlink()
    (tmp_path / "Task99_Blobs").rmdir()
    fetch(spec, tmp_path)
    assert (tmp_path / "Task99_Blobs" / "dataset.json").exists()
    assert len(site.asked) == 2
