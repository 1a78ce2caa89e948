"""A process that does store work and can be killed between and within system calls.

Serves one JSON line per request on stdin and forks a child for each, so that imports
are paid once. Requests:
{"do": "matrix", "root", "work", "cells", "step": n | null, "kill": [steps, s] | null} runs
the little matrix, which kills itself before step n or is killed s seconds after so many;
{"do": "collect", "root", "step": n | null} collects a store, killed before step n;
{"do": "race", "root", "key", "links": bool} lets two children publish at one moment.
"""

import builtins
import errno
import io
import itertools
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from harness.schema.identity import key_of_identity
from harness.store import Store
from harness.store.collect import collect as gather
from harness.store.tables import build, write_table


def nodes(cells):
    """The specs of the little matrix: one pretraining, and an adaptation per cell."""
    pretrain = _spec("pretrain", 0, {})
    specs = [pretrain]
    for cell in range(cells):
        adapt = _spec("adapt", cell, {"encoder": pretrain["key"]})
        specs += [adapt, _spec("evaluate", cell, {"adapt": adapt["key"]})]
    return specs


def _spec(kind, number, inputs):
    identity = {
        "kind": kind,
        "implementation": "fake",
        "version": 1,
        "settings": {},
        "data": {},
        "seeds": {"seed": number},
        "inputs": inputs,
    }
    labels = {"method": "fake", "seed": number}
    key = key_of_identity(identity)
    return {
        "key": key,
        "kind": kind,
        "identity": identity,
        "labels": labels,
        "where": {},
    }


def rows(key):
    """The tables that a node publishes: {file name: table}."""
    count = 50
    scores = {
        "key": [key] * count,
        "case_id": [f"case{i}" for i in range(count)],
        "group_id": [f"group{i}" for i in range(count)],
        "structure": ["liver"] * count,
        "metric": ["dice"] * count,
        "value": [(i + int(key[:4], 16)) % 97 / 97 for i in range(count)],
    }
    curve = {
        "key": [key] * count,
        "split": ["train"] * count,
        "quantity": ["loss"] * count,
        "step": list(range(count)),
        "value": [1.0 / (i + 1) for i in range(count)],
    }
    return {
        "cases.parquet": build("cases", scores),
        "curves.parquet": build("curves", curve),
    }


def run_matrix(root, work, cells):
    """Do what is missing, as a worker does; note in `work` which node is computed."""
    store = Store(root)
    for spec in nodes(cells):
        store.write_spec(spec)
        key = spec["key"]
        if store.is_done(key):
            continue
        with store.begin(key, made_by={"packages": {"fake": "1"}}) as attempt:
            _append(work, key)
            for name, table in rows(key).items():
                write_table(attempt.path(name), table)
            attempt.publish()
    assert len(store.done()) == 1 + 2 * cells


def _append(path, line):
    descriptor = REAL["open"](path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    REAL["write"](descriptor, f"{line}\n".encode())
    os.close(descriptor)


STEPS = [
    "open",
    "write",
    "fsync",
    "replace",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "utime",
]
REAL = {name: getattr(os, name) for name in STEPS}


class Steps:
    """Counts system calls, notes each in a pipe and kills the process before step `last`.

    A write that is killed leaves half of its bytes. fsync is counted and left out: a
    killed process loses nothing that the system has, and the test must be quick.
    """

    def __init__(self, trace, last):
        self.trace, self.last, self.counter = trace, last, itertools.count(1)

    def note(self, name, target, before_death=None):
        count = next(self.counter)  # the index is read by several threads
        target = target if isinstance(target, (str, os.PathLike)) else ""
        line = f"{count} {name} {Path(target).name}\n"
        REAL["write"](self.trace, line.encode())
        if count == self.last:
            if before_death is not None:
                before_death()
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self):
        for name in STEPS:
            setattr(os, name, getattr(self, f"_{name}", None) or self._wrapped(name))
        real_open = io.open

        def opened(path, mode="r", *arguments, **named):
            if "r" in mode:
                return real_open(path, mode, *arguments, **named)
            self.note("io.open", path)
            return Counted(real_open(path, mode, *arguments, **named), self)

        io.open = builtins.open = opened

    def _wrapped(self, name):
        def call(target, *arguments, **named):
            self.note(name, arguments[0] if name in {"replace", "link"} else target)
            return REAL[name](target, *arguments, **named)

        return call

    def _fsync(self, descriptor):
        self.note("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())

    def _write(self, descriptor, data):
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        half = bytes(data)[: len(data) // 2]
        self.note("write", name, lambda: REAL["write"](descriptor, half))
        return REAL["write"](descriptor, data)


class Counted:
    """A file whose writes are counted, and cut in half by a kill."""

    def __init__(self, file, steps):
        self._file, self._steps = file, steps

    def write(self, data):
        def half():
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._steps.note("io.write", self._file.name, half)
        return self._file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def fork(work):
    """Run `work(write_end)` in a child; return its pid and what it will have written."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            work(writer)
        except BaseException as error:
            REAL["write"](writer, f"0 error {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    return pid, reader


def collect(pid, reader, kill=None):
    """Return the exit status and the lines of a child.

    kill: [lines, delay]: once so many lines have come, wait for `delay` s and kill it.
    """
    data, deadline = b"", None
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
    return status, data.decode().splitlines()


def do_matrix(request):
    """Run the matrix in a child; return how it ended and the steps that it took."""

    def work(writer):
        Steps(writer, request["step"]).install()
        run_matrix(request["root"], request["work"], request["cells"])

    status, lines = collect(*fork(work), request["kill"])
    return {"status": status, "lines": lines}


def do_collect(request):
    """Collect in a child that kills itself before a step; return how it ended."""

    def work(writer):
        Steps(writer, request["step"]).install()
        gather(Store(request["root"]))

    status, lines = collect(*fork(work))
    return {"status": status, "lines": lines}


def do_race(request):
    """Publish one node in two children at one moment; return what each was told."""
    starter, start = os.pipe()

    def work(writer):
        os.close(start)
        if not request["links"]:

            def no_links(*_, **__):
                raise OSError(errno.EPERM, "Operation not permitted")

            os.link = no_links
        os.fsync = lambda _: None  # see Steps
        attempt = Store(request["root"]).begin(request["key"], made_by={})
        for name, table in rows(request["key"]).items():
            write_table(attempt.path(name), table)
        os.write(writer, b"ready\n")
        os.read(starter, 1)
        os.write(writer, f"{attempt.id} {attempt.publish()}\n".encode())

    children = [fork(work) for _ in range(2)]
    ready = [os.read(reader, 6) for _, reader in children]
    os.close(start)
    os.close(starter)
    ends = [collect(*child) for child in children]
    return {"ready": [text.decode() for text in ready], "ends": ends}


def main():
    """Answer each request on stdin with one line on stdout."""
    answers = {"matrix": do_matrix, "race": do_race, "collect": do_collect}
    rows("0" * 64)  # pyarrow imports pandas when it builds its first column
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps(answers[request["do"]](request)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
