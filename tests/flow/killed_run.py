"""`harness run --cluster inline` in a process that can be killed at any moment.

Serves one JSON line per request on stdin, {"words": [...], "work": path, "kill": [marks,
seconds] | null}, and forks a child for each, so that imports are paid once. The child
runs the command line with a runner that needs no torch; it notes each step that it
comes to, and is killed some seconds after so many of them.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from harness.cli import main
from harness.cli import run as run_command
from harness.plan import make_plan, prepare
from harness.plan.plan import Plan
from harness.run import worker
from harness.store import Store
from harness.store import attempt as attempts
from harness.store.tables import build, write_table
from harness.submit import inline  # noqa: F401  (imported before the fork)


def scores(key, cases):
    """The rows that the evaluation `key` publishes: (case, value)."""
    return [(case, (n + int(key[:4], 16)) % 97 / 97) for n, case in enumerate(cases)]


def run_nodes(results, keys, *, threads):
    """Compute nodes as a runner does; note in `work` which one is computed."""
    store = Store(Path(results))
    for key in keys:
        if store.is_done(key):
            continue
        spec = store.spec(key)
        with store.begin(key, made_by={"packages": {}}) as attempt:
            WORK.append(key)
            attempt.path("weights.bin").write_bytes(bytes.fromhex(key) * 64)
            if spec["kind"] == "evaluate":
                rows = scores(key, spec["where"]["cases"]["test"])
                columns = {
                    "key": [key] * len(rows),
                    "case_id": [case for case, _ in rows],
                    "group_id": [case for case, _ in rows],
                    "structure": ["inner"] * len(rows),
                    "metric": ["dice"] * len(rows),
                    "value": [value for _, value in rows],
                }
                path = attempt.path("cases.parquet")
                write_table(path, build("cases", columns))
            attempt.publish()
    return 0


class Work:
    """A file with the keys of the nodes whose computation was begun."""

    path = Path()

    def append(self, key):
        with self.path.open("a") as out:
            out.write(f"{key}\n")


WORK = Work()


def note(what, pipe):
    os.write(pipe, f"{what}\n".encode())


def mark(owner, name, pipe, what):
    """Note when the function `name` of a module or class begins and ends."""
    real = getattr(owner, name)

    def marked(*arguments, **named):
        note(f"in {what}", pipe)
        result = real(*arguments, **named)
        note(f"after {what}", pipe)
        return result

    setattr(owner, name, marked)


def child(request, pipe):
    WORK.path = Path(request["work"])
    mark(run_command, "_plan", pipe, "plan")
    mark(prepare, "build_cache", pipe, "data cache")
    mark(Plan, "write_specs", pipe, "specs")
    mark(Store, "begin", pipe, "begin of a node")
    mark(Work, "append", pipe, "computation")
    mark(attempts.Attempt, "publish", pipe, "publishing")
    worker.load_runner = lambda _: run_nodes
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    code = main(request["words"])
    note(f"end {code}", pipe)
    os._exit(0)


def serve(request):
    """Run one request in a child; return its marks and how it ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            child(request, writer)
        except BaseException as error:
            note(f"error {error!r}", writer)
            os._exit(1)
    os.close(writer)
    data, kill, deadline = b"", request["kill"], None
    while True:
        if kill is not None and data.count(b"\n") >= kill[0]:
            deadline, kill = time.monotonic() + kill[1], None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if left == 0.0 or not select.select([reader], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)
            deadline = None
            continue
        part = os.read(reader, 1 << 16)
        if not part:
            break
        data += part
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"status": status, "marks": data.decode().splitlines()}


if __name__ == "__main__":
    assert make_plan, "planning is imported before the fork"
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)  # noqa: T201
