"""`harness clean` and what it finds; published files are never among it."""

import io
import json
import os
import time

import pytest

from harness.cli import main
from harness.schema.errors import Exit
from harness.store import Store
from harness.store.clean import find, remove
from harness.submit.records import Array, Submissions

DAY = 25 * 3600


def age(path):
    old = time.time() - DAY
    os.utime(path, (old, old))


def every_file(root):
    return {path for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def messy(store, planned):
    """A node done at the second attempt, one under way, and what they left behind."""
    key, open_key = planned(), planned(1)
    failed = store.begin(key, made_by={})
    failed.path("half.bin").write_bytes(b"x" * 100)
    failed.fail("code", "a fault")
    winner = store.begin(key, made_by={})
    winner.path("a.bin").write_bytes(b"weights")
    winner.path("b.bin").write_bytes(b"table")
    winner.publish()
    running = store.begin(open_key, made_by={})
    running.path("soon.bin").write_bytes(b"soon")
    for each in (key, open_key):
        folder = store.node_dir(each) / "checkpoints"
        folder.mkdir()
        (folder / "step-1.json").write_text("{}")
    (store.node_dir(open_key) / "checkpoints" / "step-0.json.bad").write_text("{")
    unused = store.root / "cache" / "data" / "0123456789abcdef"
    unused.mkdir(parents=True)
    (unused / "images.bin").write_bytes(b"y" * 1000)
    draft = store.root / ".spec.json.77-abcd0123"
    draft.write_text("")
    age(draft)
    submissions = Submissions(store.root)
    for keys, state in (([key], "ended"), ([key, open_key], "ended")):
        array = Array("local", ["job"], [[each[:16] for each in keys]])
        record = submissions.new("local", [array])
        record.state = state
        submissions.write(record)
        (submissions.folder(record) / "job.log").write_text("output")
    yield store, key, open_key
    running.fail("code", "over")


def test_what_is_superseded_is_found_and_nothing_else_goes(messy, capsys):
    store, key, open_key = messy
    keep = {
        path
        for each in (key, open_key)
        for path in store.node_dir(each).rglob("*")
        if path.name
        in {"spec.json", "run.json", "log.txt", "heartbeat", "a.bin"}
        | {"b.bin", "soon.bin", "step-1.json"}
        and not (each == key and "checkpoints" in path.parts)
    }
    assert main(["clean", "--results", str(store.root)]) == Exit.DONE
    out, _ = capsys.readouterr()
    assert "nothing was removed: harness clean --yes removes it" in out
    for reason in (
        "checkpoints of finished nodes", "damaged checkpoints",
        "files of old attempts", "cached data that no cell uses",
        "drafts of killed processes", "logs of submissions that are over",
    ):  # fmt: skip
        assert reason in out
    before = every_file(store.root)
    assert main(["clean", "--results", str(store.root), "--json", "--yes"]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["removed_bytes"] == document["bytes"] > 1100
    after = every_file(store.root)
    assert keep <= after < before
    assert Store(store.root).is_done(key)
    assert not store.verify()
    assert len(store.attempts(key)) == 2  # what was tried is still known
    assert not (store.root / "cache" / "data" / "0123456789abcdef").exists()
    assert len(Submissions(store.root).all()) == 1  # one node of it is not published
    assert main(["clean", "--results", str(store.root)]) == Exit.DONE
    assert capsys.readouterr().out == "nothing is superseded\n"


@pytest.mark.parametrize(
    ("answer", "gone"), [("n\n", False), ("\n", False), ("y\n", True)]
)
def test_on_a_terminal_it_asks(messy, capsys, monkeypatch, answer, gone):
    store, key, _ = messy
    stdin = io.StringIO(answer)
    stdin.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", stdin)
    main(["clean", "--results", str(store.root)])
    assert "remove all of this? [y/N]" in capsys.readouterr().out
    assert (store.node_dir(key) / "checkpoints").exists() is not gone


def test_a_file_that_a_crash_left_behind_is_found(store, planned):
    key = planned()
    attempt = store.begin(key, made_by={})
    for name in ("a.bin", "b.bin"):
        attempt.path(name).write_bytes(b"weights")
    attempt.publish()
    kept = attempt.dir / "a.bin"
    assert store.remove(key, ["a.bin", "unknown"]) == ["a.bin"]
    assert not kept.exists()
    kept.write_bytes(b"weights")  # as if killed before the file went
    assert [(w.path, w.reason) for w in find(store)] == [
        (kept, "files that were not kept")
    ]
    assert remove(store.root, find(store)) == 7
    assert store.is_done(key)
    assert store.remove(key, ["b.bin"]) == []  # one file stays
    assert store.remove("0" * 64, ["b.bin"]) == []


def test_a_link_is_removed_and_what_it_points_to_is_not(store, planned, tmp_path):
    attempt = store.begin(planned(), made_by={})
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    attempt.fail("code", "over")
    (attempt.dir / "link").symlink_to(precious)
    remove(store.root, find(store))
    assert (precious / "file").exists()
    assert not (attempt.dir / "link").is_symlink()


def test_what_a_killed_import_or_doctor_left_is_found_when_it_is_old(store, planned):
    planned()
    for name in (".import-0123", ".doctor-0123"):
        (store.root / name).mkdir()
        (store.root / name / "file").write_text("x")
    assert list(find(store)) == []  # it may still be at work
    for path in store.root.glob(".*-0123"):
        os.utime(path, (1, 1))
    assert sorted(waste.path.name for waste in find(store)) == [
        ".doctor-0123", ".import-0123",
    ]  # fmt: skip
