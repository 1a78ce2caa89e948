import errno
import os

import pytest

from harness.store import durable


def no_links(*_, **__):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_only_the_first_creates(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.json"
    assert durable.create_exclusively(path, b"first")
    assert not durable.create_exclusively(path, b"second")
    assert path.read_bytes() == b"first"
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_a_link_whose_answer_was_lost_counts(tmp_path, monkeypatch):
    real = os.link

    def link(*arguments, **named):
        real(*arguments, **named)
        real(*arguments, **named)  # NFS asks again and finds its own link

    monkeypatch.setattr(os, "link", link)
    assert durable.create_exclusively(tmp_path / "a", b"x")
    assert not durable.create_exclusively(tmp_path / "a", b"y")


@pytest.mark.parametrize("name", ["write", "fsync", "link"])
@pytest.mark.parametrize("links", [True, False])
def test_a_failure_leaves_nothing(tmp_path, monkeypatch, name, links):
    if not links:
        monkeypatch.setattr(os, "link", no_links)

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    if name != "link" or links:
        monkeypatch.setattr(os, name, fail)
        with pytest.raises(OSError, match="Input/output error"):
            durable.create_exclusively(tmp_path / "a", b"x")
        assert not list(tmp_path.iterdir())


def test_without_links_a_failed_write_is_taken_back(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    real, calls = os.write, []

    def write(descriptor, data):
        calls.append(len(data))
        if len(calls) == 2:  # the first is the draft
            real(descriptor, bytes(data)[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        durable.create_exclusively(tmp_path / "a", b"xyz")
    assert not list(tmp_path.iterdir())


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:2]))
    durable.write_bytes(tmp_path / "a", b"abcdefg")
    assert (tmp_path / "a").read_bytes() == b"abcdefg"


def test_a_replaced_file_is_old_or_new(tmp_path, monkeypatch):
    path = tmp_path / "a"
    durable.write_bytes(path, b"old")

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
    durable.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_everything_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace", "link"):
        real = getattr(os, name)

        def note(*arguments, _name=name, _real=real, **named):
            calls.append(_name)
            return _real(*arguments, **named)

        monkeypatch.setattr(os, name, note)
    durable.write_bytes(tmp_path / "a", b"x")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name, the folder
    calls.clear()
    durable.create_exclusively(tmp_path / "b", b"x")
    assert calls == ["fsync", "link"]
    calls.clear()
    durable.write_bytes(tmp_path / "c", b"x", sync=False)
    assert calls == ["replace"]


def test_sizes_and_hashes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert durable.hash_file(path) == (3, digest)  # FIPS 180-2, appendix B.1
    assert durable.sync_and_hash(path) == (3, digest)


def test_folders_that_cannot_be_synced_are_no_error(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    durable.sync_folder(tmp_path)
