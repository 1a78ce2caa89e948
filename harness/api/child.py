"""A program in a process of its own that a system is run by, spoken to in JSON lines.

Its requests come on stdin and its answers go to what was its stdout; all that it and its
own children print goes to a log. It never outlives who began it: when stdin closes, its
whole process group is killed, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

_PACKAGE = Path(__file__).resolve().parents[2]  # where the child finds `harness`, too
_TAIL = 4_000  # characters of the log that an error is looked for in


class ChildFailed(RuntimeError):
    """The program has ended, or said that it cannot do what it was asked for."""


class Child:
    """The program `script` as its parent sees it; a context manager that ends it.

    environment: added to this process's own; log: where it prints, appended to.
    """

    def __init__(self, script: Path, environment: Mapping[str, str], log: Path) -> None:
        paths = [str(_PACKAGE), os.environ.get("PYTHONPATH", "")]
        everything = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **environment,
        }
        self._log = log
        with log.open("ab") as stream:
            # -P: no file beside the script may stand in for a module of Python's own.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(script)], env=everything,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, request: Mapping[str, Any]) -> None:
        """Ask for something. Raises ChildFailed where nobody listens any more."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failure() from None

    def receive(self) -> dict[str, Any]:
        """Wait for the next answer. Raises ChildFailed with the program's reason."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildFailed(answer["error"])
        return answer

    def _failure(self) -> ChildFailed:
        code = self._process.wait()
        text = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ChildFailed(f"the child process ended with {how}: {last.strip()}")

    def close(self) -> None:
        """End the program, and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):  # what was not sent yet
                stream.close()
        self._process.wait()


class Requests:
    """The parent as the program sees it."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os.killpg(0, signal.SIGKILL)  # nobody waits for the answers

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield json.loads(self._lines.get())

    def answer(self, **values: Any) -> None:
        """Tell the parent; an answer with `error` raises ChildFailed there."""
        print(json.dumps(values), file=self._answers, flush=True)


def environment_of(threads: int) -> dict[str, str]:
    """Return what keeps numerical libraries of a child to `threads` threads."""
    names: Sequence[str] = (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    )  # fmt: skip
    return dict.fromkeys(names, str(threads))
