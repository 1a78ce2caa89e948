"""Files of weights: found by path or URL, known by digest, fetched under its rules."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.registry.weights import fetch_weights, file_digest, find_weights
from harness.schema.errors import DataError

CONTENT = b"weights" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()
    thread.join()


def test_a_path_starts_from_the_folder_of_the_file_that_names_it(tmp_path):
    (tmp_path / "w.pt").write_bytes(CONTENT)
    for named in ("w.pt", str(tmp_path / "w.pt"), (tmp_path / "w.pt").as_uri()):
        found = find_weights(named, None, tmp_path, "mine")
        assert (found.sha256, found.problem, found.url) == (DIGEST, None, None)
        assert found.path == tmp_path / "w.pt"
    assert find_weights("w.pt", DIGEST.upper(), tmp_path, "mine").problem is None


def test_a_file_that_is_missing_is_a_problem_and_keeps_the_stated_digest(tmp_path):
    found = find_weights("w.pt", DIGEST, tmp_path, "mine")
    assert found.sha256 == DIGEST
    assert f"the weights of mine are missing ({tmp_path / 'w.pt'})" in found.problem
    assert find_weights("w.pt", None, tmp_path, "mine").sha256 is None


@pytest.mark.parametrize(
    ("named", "stated", "said"),
    [
        ("w.pt", "abc", "expected 64 hexadecimal digits, not 'abc'"),
        ("w.pt", "0" * 64, f"is {DIGEST}, not {'0' * 64} as stated"),
        ("s3://bucket/w.pt", None, "s3:// cannot be fetched"),
    ],
)
def test_what_cannot_be_right_is_refused(named, stated, said, tmp_path):
    (tmp_path / "w.pt").write_bytes(CONTENT)
    with pytest.raises(ValueError, match=said):
        find_weights(named, stated, tmp_path, "mine")


def test_a_digest_is_worked_out_once_and_again_when_the_file_changes(
    tmp_path, monkeypatch
):
    path = tmp_path / "w.pt"
    path.write_bytes(CONTENT)
    assert file_digest(path) == DIGEST
    monkeypatch.setattr(hashlib, "file_digest", None)  # would raise
    assert file_digest(path) == DIGEST
    monkeypatch.undo()
    path.write_bytes(CONTENT + b"!")
    assert file_digest(path) == hashlib.sha256(CONTENT + b"!").hexdigest()


def test_a_url_is_fetched_into_the_cache_and_its_digest_kept(server, tmp_path, cache):
    url = f"{server}/models/w.pt?download=1"
    before = find_weights(url, None, tmp_path, "mine")
    assert "run `harness data fetch mine`" in before.problem
    assert before.path.is_relative_to(cache)
    assert fetch_weights(before) == before.path
    after = find_weights(url, None, tmp_path, "mine")
    assert (after.sha256, after.problem, after.path.name) == (DIGEST, None, "w.pt")
    after.path.write_bytes(b"changed")
    with pytest.raises(DataError, match="of the first fetch"):
        fetch_weights(before)


def test_a_url_with_another_digest_than_stated_leaves_nothing(server, tmp_path):
    wrong = find_weights(f"{server}/w.pt", "0" * 64, tmp_path, "mine")
    with pytest.raises(DataError, match="as printed on the entry of the method"):
        fetch_weights(wrong)
    assert not wrong.path.exists()


def test_a_path_cannot_be_fetched(tmp_path):
    with pytest.raises(DataError, match="there is nothing to fetch"):
        fetch_weights(find_weights("w.pt", None, tmp_path, "mine"))
