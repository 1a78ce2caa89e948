import errno
import json
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from harness.schema.errors import DataError, UserError
from harness.store import DiskFull, Store, classify
from harness.store import attempt as attempt_module
from harness.store.records import STALE_BEATS, process_start, this_machine


def test_ids_are_unique_sorted_by_time_and_say_who():
    ids = [attempt_module.new_attempt_id() for _ in range(200)]
    assert len(set(ids)) == 200
    pattern = rf"\d{{8}}T\d{{9}}-[A-Za-z0-9-]+-{os.getpid()}-[0-9a-f]{{8}}"
    assert all(re.fullmatch(pattern, one) for one in ids)
    assert [one[:18] for one in ids] == sorted(one[:18] for one in ids)


def test_a_running_attempt_is_on_record(store, planned):
    key = planned()
    attempt = store.begin(key, {"backend": "local"})
    (run,) = store.attempts(key)
    assert run["state"] == "running"
    assert (run["key"], run["attempt"], run["pid"]) == (key, attempt.id, os.getpid())
    assert run["host"] == socket.gethostname()
    assert run["where"] == {"backend": "local"}
    made_by = run["provenance"]
    assert made_by["python"].startswith("3.")
    assert "packages" not in made_by
    listed = store.root / "provenance" / f"{made_by['packages_sha256']}.json"
    assert "pyarrow" in json.loads(listed.read_text())
    attempt.fail("code", "over")


def test_an_exception_fails_the_attempt_with_its_class(store, planned):
    key = planned()
    attempt = store.begin(key, made_by={})

    def work():
        with attempt:
            msg = "case 7: nan voxels"
            raise DataError(msg)

    with pytest.raises(DataError, match="case 7"):
        work()
    (run,) = store.attempts(key)
    assert (run["state"], run["error_class"]) == ("failed", "data")
    assert run["message"] == "case 7: nan voxels"
    assert run["traceback"].endswith("DataError: case 7: nan voxels\n")
    assert run["finished"] > run["started"]
    assert run["wall_s"] >= 0
    assert run["peak_mem_bytes"] > 1_000_000
    attempt.fail("code", "an outer handler")  # says nothing new
    assert store.attempts(key)[0]["error_class"] == "data"
    assert not store.is_done(key)
    assert not (attempt.dir / "heartbeat").exists()


def test_leaving_without_publishing_is_a_failure(store, planned):
    key = planned()
    with store.begin(key, made_by={}):
        pass
    assert store.attempts(key)[0]["message"].endswith("without publishing anything")
    attempt = store.begin(key, made_by={})
    with pytest.raises(ValueError, match="no files to publish"):
        attempt.publish()
    assert attempt.state == "failed"


def test_the_same_fault_has_the_same_traceback_hash(store, planned):
    def fault(message):
        raise ZeroDivisionError(message)

    def other():
        raise ZeroDivisionError

    hashes = []
    for number, work in enumerate([lambda: fault("a"), lambda: fault("b"), other]):
        key = planned(number)
        try:
            work()
        except ZeroDivisionError:
            store.begin(key, made_by={}).fail("code", "it broke")
        hashes.append(store.attempts(key)[0]["traceback_hash"])
    same, again, different = hashes
    assert same is not None
    # The two lambdas stand on one line; what is raised and where decides.
    assert same == again != different


def test_blocked_is_a_state_of_its_own(store, planned):
    key = planned()
    store.begin(key, made_by={}).fail("blocked", "its pretraining is not published")
    (run,) = store.attempts(key)
    assert (run["state"], run["error_class"]) == ("blocked", "blocked")


class OutOfMemoryError(RuntimeError):
    """The name and text that torch uses."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError("8192 requested and 4096 written"), "disk_full"),  # numpy
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (DiskFull("the disk is full"), "disk_full"),
        (DataError("case 3"), "data"),
        (UserError("no such folder"), "data"),
        (MemoryError(), "oom"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), "oom"),
        (TimeoutError(), "timeout"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(143), "interrupted"),
        (OSError(errno.EIO, "Input/output error"), "code"),
        (ValueError("shape"), "code"),
    ],
)
def test_errors_are_classified(error, kind):
    assert classify(error) == kind


def test_a_full_disk_is_seen_behind_another_error():
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert classify(error) == "disk_full"
    error.__cause__ = error
    assert classify(error) == "code"


# -- lost attempts --------------------------------------------------------------------


def edit(store, key, **changes):
    (folder,) = (store.node_dir(key) / "attempts").iterdir()
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_killed_process_of_this_machine_is_lost_at_once(store, planned):
    key = planned()
    code = (
        "import os, sys\n"
        "from harness.store import Store\n"
        "Store(sys.argv[1]).begin(sys.argv[2], made_by={})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.root, key], check=False)
    assert done.returncode == -9
    (run,) = store.attempts(key)
    assert run["state"] == "lost"
    assert not store.is_done(key)


def test_a_process_id_given_to_another_process_is_lost(store, planned):
    key = planned()
    attempt = store.begin(key, made_by={})
    assert store.attempts(key)[0]["state"] == "running"
    edit(store, key, process_start="1")
    assert store.attempts(key)[0]["state"] == "lost"
    attempt.fail("code", "over")


def test_elsewhere_the_heartbeat_tells(store, planned):
    key = planned()
    attempt = store.begin(key, made_by={})
    folder = edit(store, key, machine="another", pid=1, heartbeat_s=30)
    assert store.attempts(key)[0]["state"] == "running"
    old = time.time() - 30 * STALE_BEATS - 1
    os.utime(folder / "heartbeat", (old, old))
    assert store.attempts(key)[0]["state"] == "lost"
    attempt.fail("code", "over")


def test_the_heart_beats(tmp_path, make_spec):
    store, spec = Store(tmp_path / "results", heartbeat_s=0.05), make_spec()
    store.write_spec(spec)
    attempt = store.begin(spec["key"], made_by={})
    beat = attempt.dir / "heartbeat"
    os.utime(beat, (1, 1))
    deadline = time.monotonic() + 20
    while beat.stat().st_mtime == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert beat.stat().st_mtime > 1
    attempt.fail("code", "over")
    assert not beat.exists()


def test_a_folder_without_a_record_is_shown(store, planned):
    key = planned()
    folder = store.node_dir(key) / "attempts" / "20200101T000000000-host-1-00000000"
    folder.mkdir(parents=True)
    (run,) = store.attempts(key)
    assert (run["state"], run["key"], run["kind"]) == ("running", key, "evaluate")
    os.utime(folder, (1, 1))
    assert store.attempts(key)[0]["state"] == "lost"


def test_process_start_tells_life_from_death():
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_start(child.pid) is None
    assert this_machine().startswith(socket.gethostname())


def test_published_but_killed_before_saying_so(store, published):
    key = published()
    edit(store, key, state="running", machine="another", pid=1)
    assert store.attempts(key)[0]["state"] == "done"


# -- full disks -----------------------------------------------------------------------


def assert_failed_for_lack_of_space(store, key):
    (run,) = store.attempts(key)
    assert (run["state"], run["error_class"]) == ("failed", "disk_full")
    assert run["message"].startswith("the disk of ")
    assert " is full" in run["message"]
    assert not store.is_done(key)
    assert store.done() == {}
    done = store.root / "done"
    assert not [path for path in done.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_while_files_are_written(small_disk, make_spec):
    store, spec = Store(small_disk / "results"), make_spec()
    store.write_spec(spec)
    with (
        pytest.raises(OSError, match=r"written|No space"),
        store.begin(spec["key"], made_by={}) as attempt,
    ):
        np.save(attempt.path("slices.npy"), np.zeros(1 << 20, np.uint8))
    assert_failed_for_lack_of_space(store, spec["key"])
    left = {path.name for path in attempt.dir.iterdir()}
    assert left == {"run.json"}  # what was half written is gone, and its space is free
    with store.begin(spec["key"], made_by={}) as attempt:
        attempt.path("small.txt").write_text("x")
        assert attempt.publish() == "published"


def test_a_disk_that_others_filled_to_the_last_byte(small_disk, make_spec):
    store, spec = Store(small_disk / "results"), make_spec()
    store.write_spec(spec)
    attempt = store.begin(spec["key"], made_by={})
    attempt.path("small.txt").write_text("x")
    with (small_disk / "others").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                break
    with pytest.raises(DiskFull, match=r"is full: free some space or choose another"):
        attempt.publish()
    assert_failed_for_lack_of_space(store, spec["key"])  # the reserve made room for it
    with (small_disk / "others").open("ab", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                break
    before = len(list((store.node_dir(spec["key"]) / "attempts").iterdir()))
    with pytest.raises(DiskFull):
        store.begin(spec["key"], made_by={})
    assert len(list((store.node_dir(spec["key"]) / "attempts").iterdir())) == before


@pytest.mark.parametrize("name", ["write", "fsync", "link", "mkdir"])
def test_a_full_disk_at_any_call_while_publishing(store, planned, monkeypatch, name):
    key = planned()
    attempt = store.begin(key, made_by={})
    attempt.path("small.txt").write_text("x")
    real, ended = getattr(os, name), []

    def full(*arguments, **named):
        # Full until the attempt gives up and frees its files.
        if not (attempt.dir / "small.txt").exists():
            return real(*arguments, **named)
        ended.append(name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, full)
    with pytest.raises(DiskFull):
        attempt.publish()
    monkeypatch.undo()
    assert ended
    assert_failed_for_lack_of_space(store, key)


def test_a_failure_that_cannot_be_recorded_is_told(store, planned, monkeypatch, capsys):
    key = planned()
    attempt = store.begin(key, made_by={})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    attempt.fail("disk_full", "nothing left")
    monkeypatch.undo()
    assert (
        "ended as failed: nothing left; its record could not" in capsys.readouterr().err
    )
    assert store.attempts(key)[0]["state"] == "running"  # until this process is gone
    assert not [path for path in attempt.dir.iterdir() if path.name != "run.json"]


def test_after_the_manifest_stands_nothing_can_fail(store, planned, monkeypatch):
    key = planned()
    attempt = store.begin(key, made_by={})
    attempt.path("small.txt").write_text("x")
    real_link, real_write, linked = os.link, os.write, []

    def link(*arguments, **named):
        real_link(*arguments, **named)
        linked.append(arguments)

    def write(*arguments):
        if linked:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(*arguments)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "write", write)
    assert attempt.publish() == "published"
    monkeypatch.undo()
    assert store.is_done(key)
    assert store.attempts(key)[0]["state"] == "done"
