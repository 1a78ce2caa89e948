"""The right to submit: one holder, the dead and the silent are succeeded."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from harness.schema.errors import UserError
from harness.store import lock as locks
from harness.store.lock import Lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "submissions" / ".lock"


def held_elsewhere(path, **changes):
    """Write the lock of a process of another machine."""
    holder = {"token": "theirs", "host": "login2", "pid": 12, "user": "ada"}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**holder, "machine": "login2/x", **changes}))


def test_it_is_released_also_by_an_error(path):
    lock = Lock(path)
    with pytest.raises(ZeroDivisionError), lock.held():
        1 / (lock.still_mine() or 0)
    assert list(path.parent.iterdir()) == []


def test_who_waits_goes_on_when_the_holder_is_done(path):
    first, second, order, said = Lock(path), Lock(path), [], []

    def wait():
        with second.held(say=said.append):
            order.append("second")

    with first.held():
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.3)
        order.append("first")
    other.join(timeout=5)
    assert order == ["first", "second"]
    assert f"process {os.getpid()} of" in said[0]


def test_a_holder_elsewhere_is_waited_for_and_then_named(path):
    held_elsewhere(path)
    named = r"process 12 of ada on login2.*or remove"
    with pytest.raises(UserError, match=named), Lock(path).held(wait_s=0.2):
        pass
    assert json.loads(path.read_text())["token"] == "theirs"


def test_the_lock_of_a_killed_process_is_taken_at_once(path):
    code = (
        "import os, pathlib, sys; from harness.store.lock import Lock\n"
        "with Lock(pathlib.Path(sys.argv[1])).held(): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.exists()
    with Lock(path).held(wait_s=0):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_silent_lock_of_another_host_is_taken_whatever_the_clock_says(path):
    held_elsewhere(path)
    old = path.stat().st_mtime - locks.STALE_S - 1
    os.utime(path, (old, old))
    with Lock(path).held(wait_s=0):
        pass


def test_who_lost_the_lock_does_not_submit(path):
    lock = Lock(path)
    with lock.held():
        held_elsewhere(path)
        with pytest.raises(UserError, match="took over: see `harness status`"):
            lock.still_mine()
    assert json.loads(path.read_text())["token"] == "theirs"


def test_a_lock_renewed_while_it_is_taken_away_is_put_back(path):
    held_elsewhere(path, token="new")
    Lock(path)._take_away({"token": "old"})
    assert json.loads(path.read_text())["token"] == "new"
    assert [each.name for each in path.parent.iterdir()] == [".lock"]


def test_of_many_one_holds_it(path):
    """Eight processes add to a file without care; nothing is lost."""
    counter = path.parent.parent / "counter"
    counter.write_text("0")
    code = (
        "import pathlib, sys; from harness.store.lock import Lock\n"
        "counter = pathlib.Path(sys.argv[2])\n"
        "for _ in range(5):\n"
        "    with Lock(pathlib.Path(sys.argv[1])).held(wait_s=30):\n"
        "        counter.write_text(str(int(counter.read_text()) + 1))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(counter)])
        for _ in range(4)
    ]
    assert [each.wait(timeout=60) for each in running] == [0] * 4
    assert counter.read_text() == "20"


def test_a_disk_without_hard_links_will_do(path, monkeypatch):
    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with Lock(path).held():
        assert json.loads(path.read_text())["pid"] == os.getpid()
        with pytest.raises(UserError, match="is submitting"), Lock(path).held(wait_s=0):
            pass
