"""A worker that is told to stop, or loses its parent, saves its training first."""

import json
import signal
import subprocess
import sys
import time

import pytest

from harness.schema.errors import Exit
from harness.store.records import CHECKPOINTS

LONG = "simmim: {crop: [16, 16, 16], region: [20, 20, 20], steps: 100000}"


@pytest.mark.parametrize("how", ["signal", "parent gone"])
def test_a_worker_saves_and_ends(tiny, how):
    key = tiny.nodes(tiny.plan(LONG))[0]
    command = [sys.executable, "-m", "harness.run.worker", "--results"]
    log = tiny.bench.root / "job.log"
    worker = subprocess.Popen(
        [*command, str(tiny.results)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with worker:
        job = {"name": "job", "nodes": [key], "log": str(log)}
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
        begun = time.monotonic()
        while "pretraining" not in written(tiny, key):
            assert time.monotonic() - begun < 90
            time.sleep(0.05)
        time.sleep(0.5)
        if how == "signal":
            worker.send_signal(signal.SIGTERM)
        else:
            worker.stdin.close()
        assert worker.wait(timeout=60) == Exit.INCOMPLETE
    assert tiny.last(key)["error_class"] == "interrupted"
    saved = list((tiny.store.node_dir(key) / CHECKPOINTS).glob("step-*.json"))
    # Told before the first step, there is nothing to save yet.
    assert len(saved) == 1 or "signal" not in tiny.last(key)["message"]


def written(tiny, key):
    logs = tiny.store.node_dir(key).rglob("log.txt")
    return "".join(path.read_text() for path in logs)
