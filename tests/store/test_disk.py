"""What a file system must keep is tried, and what it does not keep is said."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.store import disk
from harness.store.disk import examine


def grades(findings):
    return {one.name: one.grade for one in findings}


def one(findings, name):
    (found,) = [finding for finding in findings if finding.name == name]
    return found


def test_a_sound_disk_is_ok_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "FREE_BYTES", 1)
    monkeypatch.setattr(disk, "FREE_INODES", 1)
    found = grades(examine(tmp_path))
    assert set(found) == {
        "results folder", "rename", "exclusive creation", "times of folders",
        "hard links", "clock", "disk space", "inodes", "sharing",
    }  # fmt: skip
    assert set(found.values()) == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path):
    root = tmp_path / "a" / "b"
    assert one(examine(root), "results folder").grade == "ok"
    assert not root.parent.exists()


def test_a_file_in_the_way_and_a_read_only_folder_fail(tmp_path, read_only):
    (tmp_path / "file").touch()
    (found,) = examine(tmp_path / "file" / "results")
    assert (found.grade, found.said) == ("fail", f"{tmp_path / 'file'} is no folder")
    folder = tmp_path / "sealed"
    folder.mkdir()
    read_only(folder)
    (found,) = examine(folder)
    assert found.grade == "fail"
    assert "cannot be written to" in found.said


def test_a_disk_without_hard_links_is_ok_and_said(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    found = one(examine(tmp_path), "hard links")
    assert found.grade == "ok"
    assert "not supported" in found.said
    assert "O_EXCL" in found.said


@pytest.mark.parametrize(
    ("call", "broken", "name", "said"),
    [
        ("link", lambda _, b, **__: Path(b).write_text("x"), "hard links",
         "a link replaced a file that was there"),
        ("replace", lambda _, b: Path(b).write_bytes(b"a" * 10), "rename",
         "a renamed file did not have its own bytes"),
    ],
)  # fmt: skip
def test_broken_promises_fail(tmp_path, monkeypatch, call, broken, name, said):
    monkeypatch.setattr(os, call, broken)
    found = one(examine(tmp_path), name)
    assert (found.grade, found.said) == ("fail", said)
    assert "use another" in found.advice


def test_creation_that_is_not_exclusive_fails(tmp_path, monkeypatch):
    real = os.open

    def lax(path, flags, mode=0o777, **more):
        return real(path, flags & ~os.O_EXCL, mode, **more)

    monkeypatch.setattr(os, "open", lax)
    found = one(examine(tmp_path), "exclusive creation")
    assert found.grade == "fail"
    assert "4 of 4 created the same file" in found.said


def test_clocks_that_differ_are_a_warning(tmp_path, monkeypatch):
    real = disk.time.time
    monkeypatch.setattr(
        disk, "time", SimpleNamespace(time=lambda: real() + 90, sleep=disk.time.sleep)
    )
    found = one(examine(tmp_path), "clock")
    assert found.grade == "warn"
    assert "differ by 90 s" in found.said


def statvfs(**fields):
    usual = {"f_bavail": 10**9, "f_frsize": 4096, "f_files": 10**9, "f_favail": 10**9}
    return SimpleNamespace(**{**usual, **fields})


@pytest.mark.parametrize(
    ("fields", "needed", "name", "grade"),
    [
        ({}, 0, "disk space", "ok"),
        ({"f_bavail": 1000}, 0, "disk space", "fail"),
        ({"f_bavail": 10**6}, 0, "disk space", "warn"),
        ({}, 4 * 10**12, "disk space", "warn"),
        ({"f_favail": 100}, 0, "inodes", "warn"),
        ({"f_files": 0, "f_favail": 0}, 0, "inodes", "ok"),
    ],
)
def test_room_is_compared_with_what_is_needed(
    tmp_path, monkeypatch, fields, needed, name, grade
):
    monkeypatch.setattr(os, "statvfs", lambda _: statvfs(**fields))
    assert one(examine(tmp_path, needed_bytes=needed), name).grade == grade


@pytest.mark.parametrize(
    ("mode", "mask", "grade", "advice"),
    [
        (0o755, 0o022, "ok", ""),
        (0o775, 0o002, "warn", "chmod g+s"),
        (0o2775, 0o022, "warn", "umask 002"),
        (0o2775, 0o002, "ok", ""),
    ],
)
def test_a_shared_folder_needs_its_group_and_a_umask(
    tmp_path, mode, mask, grade, advice
):
    tmp_path.chmod(mode)
    before = os.umask(mask)
    try:
        found = one(examine(tmp_path), "sharing")
        assert os.umask(mask) == mask, "it is as it was"
    finally:
        os.umask(before)
    assert found.grade == grade
    assert found.advice.startswith(advice)
