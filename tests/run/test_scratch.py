"""Copies of cached data on the node's own disk."""

import os
import shutil
import threading

import pytest

from harness.run import scratch
from harness.run.scratch import on_this_node


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "shared" / "abc"
    folder.mkdir(parents=True)
    (folder / "images").write_bytes(b"voxels")
    (folder / "index.json").write_bytes(b"{}")
    monkeypatch.setenv(scratch.VARIABLE, str(tmp_path / "local"))
    return folder


def test_without_a_scratch_folder_the_shared_cache_serves(cache, monkeypatch):
    monkeypatch.delenv(scratch.VARIABLE)
    assert on_this_node(cache, print) == cache


def test_the_first_job_copies_and_the_next_uses_it(cache, tmp_path, monkeypatch):
    place = on_this_node(cache, print)
    assert place == tmp_path / "local" / f"medssl-bench-{os.getuid()}" / "abc"
    assert (place / "images").read_bytes() == b"voxels"
    monkeypatch.setattr(shutil, "copytree", None)  # not called again
    assert on_this_node(cache, print) == place
    assert [each.name for each in place.parent.iterdir()] == ["abc"]


def test_many_jobs_at_once_make_one_copy(cache):
    places = []
    jobs = [
        threading.Thread(target=lambda: places.append(on_this_node(cache, print)))
        for _ in range(6)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(set(places)) == 1
    assert places[0] != cache
    assert [each.name for each in places[0].parent.iterdir()] == ["abc"]


def test_without_room_or_rights_the_shared_cache_serves_and_the_log_says_so(
    cache, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(scratch, "_SPARE", 1.0)
    assert on_this_node(cache, said.append) == cache
    assert "do not fit" in said[0]
    (tmp_path / "local").rename(tmp_path / "gone")
    (tmp_path / "local").write_text("a file")
    assert on_this_node(cache, said.append) == cache
    assert "reading" in said[1]


def test_a_copy_that_is_not_whole_is_not_used(cache, tmp_path):
    place = on_this_node(cache, print)
    (place / "images").write_bytes(b"vox")
    said = []
    assert on_this_node(cache, said.append) == cache
    assert "no copy in" in said[0]
