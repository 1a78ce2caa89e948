"""A child process answers in JSON lines, says why it failed, and never outlives us."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.api.child import Child, ChildFailed

PROGRAM = """
import os, subprocess, sys
from harness.api.child import Requests

parent = Requests()
print("what a library prints")
for request in parent:
    if "boom" in request:
        sys.exit("the disk is on fire")
    if "refuse" in request:
        parent.answer(error="cannot do that")
    elif "breed" in request:
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
        parent.answer(pids=[os.getpid(), grandchild.pid])
    else:
        parent.answer(twice=2 * request["number"], where=os.environ["PLACE"])
"""


@pytest.fixture
def child(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    # A module of Python's own, as methods/random.py is: it must not be found.
    (tmp_path / "random.py").write_text("raise ImportError('the wrong random')")
    with Child(script, {"PLACE": "here"}, tmp_path / "log.txt") as child:
        yield child


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def wait_for_the_end(pids):
    deadline = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, pids
        time.sleep(0.02)


def test_a_child_answers_and_its_prints_go_to_the_log(child, tmp_path):
    child.send({"number": 21})
    assert child.receive() == {"twice": 42, "where": "here"}
    child.send({"refuse": True})
    with pytest.raises(ChildFailed, match="cannot do that"):
        child.receive()
    child.send({"boom": True})
    with pytest.raises(ChildFailed, match="exit code 1: the disk is on fire"):
        child.receive()
    assert "what a library prints" in (tmp_path / "log.txt").read_text()
    with pytest.raises(ChildFailed, match="exit code 1"):
        child.send({"number": 1})


def test_closing_ends_what_the_child_has_started(child):
    child.send({"breed": True})
    pids = child.receive()["pids"]
    child.close()
    wait_for_the_end(pids)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    text = f"""
import time
from pathlib import Path
from harness.api.child import Child
child = Child(Path({str(script)!r}), {{}}, Path({str(tmp_path / "log.txt")!r}))
child.send({{"breed": True}})
print(*child.receive()["pids"], flush=True)
time.sleep(99)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(alive, pids))
        parent.kill()
    wait_for_the_end(pids)
