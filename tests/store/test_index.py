import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from harness.store import Store, index
from harness.store.records import FileEntry, Manifest

LONG_AGO = 1_000_000_000


def key_of(number):
    return sha256(str(number).encode()).hexdigest()


def put(root, number, files=(("a", 1),), labels=None):
    """Write a published node by hand, as results/README.md says."""
    key = key_of(number)
    name, attempt = key[:16], f"attempt-{number}"
    folder = root / "nodes" / name[:2] / name / "attempts" / attempt
    folder.mkdir(parents=True)
    for file, size in files:
        (folder / file).write_bytes(b"x" * size)
    entries = {file: FileEntry(size, "0" * 64) for file, size in files}
    manifest = Manifest(key, "evaluate", attempt, "2026", entries, labels or {}, {})
    path = root / "done" / name[:2] / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest.to_bytes())
    return manifest


def settle(root):
    """Make the shards look as if nobody had touched them for years."""
    for shard in (root / "done").iterdir():
        os.utime(shard, (LONG_AGO, LONG_AGO))


@pytest.fixture
def reads(monkeypatch):
    """The manifests that are read, one by one."""
    seen = []
    real = index._line

    def line(path, name, stamp):
        seen.append(name)
        return real(path, name, stamp)

    monkeypatch.setattr(index, "_line", line)
    return seen


@pytest.fixture
def listings(monkeypatch):
    """The shards that are listed."""
    seen = []
    real = index._list

    def listing(done, known):
        seen.append(done.name)
        return real(done, known)

    monkeypatch.setattr(index, "_list", listing)
    return seen


def test_the_index_says_what_the_manifests_say(tmp_path):
    rows = [
        put(tmp_path, n, [("a", n % 5), ("b", 2)][: 1 + n % 2], {"n": n})
        for n in range(600)
    ]
    wanted = {manifest.key: manifest for manifest in rows}
    store = Store(tmp_path)
    for _ in range(3):
        assert dict(store.done()) == wanted
    settle(tmp_path)
    for _ in range(2):
        done = store.done()
        assert dict(done) == wanted
        assert len(done) == 600
        assert key_of("no") not in done
        assert done.get(key_of("no")) is None
        assert done.why_not(key_of("no")) == "never published"
        assert rows[0].key[:16] + "0" * 48 not in done
        assert 7 not in done
        assert done.problems() == {}


def test_an_unchanged_store_is_neither_listed_nor_read(tmp_path, reads, listings):
    for number in range(300):
        put(tmp_path, number)
    settle(tmp_path)
    store = Store(tmp_path)
    assert len(store.done()) == 300
    assert len(reads) == 300
    shards = {key_of(number)[:2] for number in range(300)}
    assert sorted(listings) == sorted(shards)
    reads.clear()
    listings.clear()
    assert len(store.done()) == len(Store(tmp_path).done()) == 300
    assert (reads, listings) == ([], [])

    new = put(tmp_path, 300)
    assert new.key in store.done()
    assert reads == [new.key[:16]]
    assert listings == [new.key[:2]]


def test_a_recent_shard_is_listed_again_but_not_read_again(tmp_path, reads, listings):
    old = put(tmp_path, 0)
    store = Store(tmp_path)
    assert set(store.done()) == {old.key}
    shard = tmp_path / "done" / old.key[:2]
    stamp = shard.stat().st_mtime_ns
    # A second manifest lands in the same tick of the file system's clock.
    number = next(n for n in range(1, 10_000) if key_of(n)[:2] == old.key[:2])
    new = put(tmp_path, number)
    os.utime(shard, ns=(stamp, stamp))
    assert set(store.done()) == {old.key, new.key}
    assert reads == [old.key[:16], new.key[:16]]
    assert listings == [old.key[:2]] * 2


def test_a_shard_becomes_certain_once_it_is_old(tmp_path, listings):
    manifest = put(tmp_path, 0)
    store = Store(tmp_path)
    store.done()
    settle(tmp_path)
    store.done()
    assert len(listings) == 2
    assert manifest.key in store.done()
    assert len(listings) == 2


@pytest.mark.parametrize("how", ["zeros", "cut", "flipped", "empty", "other", "folder"])
def test_a_damaged_index_is_built_again(tmp_path, reads, how):
    manifest = put(tmp_path, 0, labels={"method": "a"})
    settle(tmp_path)
    store = Store(tmp_path)
    store.done()
    (path,) = (tmp_path / "cache" / "index").iterdir()
    data = path.read_bytes()
    if how == "folder":
        path.unlink()
        path.mkdir()
    else:
        damaged = {
            "zeros": b"\0" * len(data),
            "cut": data[:-10],
            "flipped": data.replace(b'"method":"a"', b'"method":"b"'),
            "empty": b"",
            "other": data.replace(b'{"index": 1', b'{"index": 9'),
        }[how]
        assert damaged != data
        path.write_bytes(damaged)
    reads.clear()
    assert dict(store.done()) == {manifest.key: manifest}
    assert reads == [manifest.key[:16]]
    assert (path.read_bytes() == data) if how != "folder" else path.is_dir()


def test_the_cache_may_be_deleted(tmp_path):
    manifest = put(tmp_path, 0)
    settle(tmp_path)
    store = Store(tmp_path)
    store.done()
    shutil.rmtree(tmp_path / "cache")
    assert dict(store.done()) == {manifest.key: manifest}


def test_a_copy_of_the_folder_is_as_good(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    manifests = {found.key: found for found in (put(one, n) for n in range(20))}
    settle(one)
    Store(one).done()
    shutil.copytree(one, two)
    for path in (two / "done").rglob("*.json"):
        os.utime(path)  # what a copy without times does
    settle(two)
    assert dict(Store(two).done()) == manifests


def test_a_manifest_laid_out_for_reading_is_understood(tmp_path):
    manifest = put(tmp_path, 0)
    path = tmp_path / "done" / manifest.key[:2] / f"{manifest.key[:16]}.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent="\t"))
    store = Store(tmp_path)
    for _ in range(2):
        assert dict(store.done()) == {manifest.key: manifest}


def test_files_are_looked_up_only_for_the_keys_asked(tmp_path, monkeypatch):
    manifests = [put(tmp_path, number) for number in range(50)]
    settle(tmp_path)
    done = Store(tmp_path).done()
    seen = []
    real = os.stat

    def stat(path, **named):
        seen.append(path)
        return real(path, **named)

    monkeypatch.setattr(os, "stat", stat)
    assert manifests[3].key in done
    assert manifests[3].key in done
    assert done[manifests[3].key] == manifests[3]
    monkeypatch.undo()
    assert [Path(os.fsdecode(path)).name for path in seen] == [
        f"{manifests[3].key[:16]}.json",
        "a",
    ]


def test_strangers_in_the_folder_are_ignored(tmp_path):
    manifest = put(tmp_path, 0)
    shard = tmp_path / "done" / manifest.key[:2]
    good = shard / f"{manifest.key[:16]}.json"
    (shard / f".{good.name}.123-abc").write_bytes(good.read_bytes())
    (shard / f"{good.name}.bad-1").write_text("{")
    (shard / "notes.txt").write_text("mine")
    (tmp_path / "done" / ".DS_Store").write_text("")
    assert dict(Store(tmp_path).done()) == {manifest.key: manifest}
