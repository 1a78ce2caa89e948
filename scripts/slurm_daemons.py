"""The processes of a private SLURM: started to outlive us, ended by who they are.

processes.json in the SLURM's folder holds {name: [process id, when it started, command]},
so that a later process can end or restart exactly these.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class CannotStart(Exception):
    """Why a private SLURM cannot run here, in one sentence."""


def which(name: str) -> str | None:
    """Return where a program is, also where only root looks for it."""
    return shutil.which(name, path=ENVIRONMENT["PATH"])


def born(pid: int) -> str | None:
    """Return when a process started, in clock ticks; None if it is gone or a zombie.

    A process id alone could belong to another process by the time that we end it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def pids_of(name: str) -> list[int]:
    """Return the processes of this machine whose program is called so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip().startswith(name):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


class Daemons:
    """The daemons of the private SLURM in `folder`, by name ('slurmd.node2')."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "processes.json"

    def start(self, name: str, command: list[str]) -> None:
        """Start a daemon that goes on without this process."""
        out = os.open(
            self.folder / "logs" / f"{name}.out",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        )
        null = os.open(os.devnull, os.O_RDONLY)
        # Not subprocess: these processes are meant to outlive this one.
        pid = os.posix_spawn(
            which(command[0]) or command[0], command, ENVIRONMENT, setsid=True,
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target)
                          for source, target in ((null, 0), (out, 1), (out, 2))],
        )  # fmt: skip
        os.close(out)
        os.close(null)
        self._write({**self._known(), name: [pid, born(pid), command]})

    def restart(self, name: str) -> None:
        """Start a daemon again that was started before and has ended."""
        self.start(name, self._known()[name][2])

    def running(self) -> dict[str, int]:
        """Return {name: process id} of what was started and still runs."""
        return {
            name: pid
            for name, (pid, started, _) in self._known().items()
            if born(pid) == started
        }

    def end(self, name: str, first: int = signal.SIGTERM) -> None:
        """End a daemon: by `first`, and by SIGKILL if it is still there 10 s later."""
        pid, started, _ = self._known()[name]
        for number in (first, signal.SIGKILL):
            if born(pid) != started:
                break
            os.kill(pid, number)
            stop = time.monotonic() + 10.0
            while born(pid) == started and time.monotonic() < stop:
                time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # ours where `up` ran in this process

    def forget(self) -> None:
        """Drop the record: all have ended."""
        self._record.unlink(missing_ok=True)

    def _known(self) -> dict[str, list]:
        return json.loads(self._record.read_text()) if self._record.exists() else {}

    def _write(self, known: dict[str, list]) -> None:
        draft = self._record.with_suffix(".draft")
        draft.write_text(json.dumps(known))
        draft.replace(self._record)


def wait(
    ready: Callable[[], object], what: str, log: Path, seconds: float = 30.0
) -> None:
    """Return when `ready` says so; CannotStart with `what` if it does not."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            message = f"{what} within {seconds:.0f} s; see {log}"
            raise CannotStart(message)
        time.sleep(0.1)


def answers(conf: Path) -> bool:
    """Whether the controller answers."""
    return ask(conf, "scontrol", "ping").returncode == 0


def ask(conf: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's programs for the controller of `conf`."""
    return subprocess.run(
        command, env={**ENVIRONMENT, "SLURM_CONF": str(conf)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
