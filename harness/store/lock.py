"""The right to do a thing alone, among all hosts and users that share results.

A lock is a file that is created exclusively, which network disks do right where file
locks do not. Its holder touches it; by whose clock does not matter, since it is compared
with a file that the observer writes beside it. One that has not been touched for STALE_S,
or whose process has died on this machine, is taken over by renaming it: of several who
try, one succeeds. Who was only slow finds the lock not theirs before they next submit.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..schema.errors import UserError
from .records import process_start, this_machine, user_name

BEAT_S = 5.0
STALE_S = 60.0
WAIT_S = 900.0  # longer than the submission of 100,000 cells takes


class Lock:
    """A lock file; `still_mine` before every step that must not be done twice.

    what: who else holds it, in words: 'another `harness run` is submitting'.
    """

    def __init__(
        self, path: Path, what: str = "another `harness run` is submitting"
    ) -> None:
        self.path = path
        self._what = what
        self._token = secrets.token_hex(8)

    def still_mine(self) -> None:
        """Raise UserError if another process has taken the lock over."""
        if self._holder().get("token") != self._token:
            message = (
                "this process was silent for so long that another `harness run` took "
                "over: see `harness status`, then run again"
            )
            raise UserError(message)

    @contextmanager
    def held(
        self,
        *,
        wait_s: float = WAIT_S,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[None]:
        """Hold the lock. Raises UserError when others hold it for longer than `wait_s`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._wait(wait_s, say)
        silence = threading.Event()
        beat = threading.Thread(target=self._beat, args=(silence,), daemon=True)
        beat.start()
        try:
            yield
        finally:
            silence.set()
            beat.join()
            if self._holder().get("token") == self._token:
                self.path.unlink(missing_ok=True)

    def _wait(self, wait_s: float, say: Callable[[str], None]) -> None:
        end, pause, told = time.monotonic() + wait_s, 0.1, False
        while not self._create():
            holder = self._holder()
            if self._is_stale(holder):
                self._take_away(holder)
                continue
            who = (
                f"process {holder.get('pid', '?')} of {holder.get('user', '?')} on "
                f"{holder.get('host', '?')}"
            )
            if time.monotonic() > end:
                message = (
                    f"{self._what} ({who}); wait for it, or remove {self.path} if it "
                    "is gone"
                )
                raise UserError(message)
            if not told:
                say(f"{self._what} ({who}); waiting for it")
                told = True
            time.sleep(pause)
            pause = min(2.0, pause * 1.5)

    def _create(self) -> bool:
        holder = {
            "token": self._token, "host": socket.gethostname(), "pid": os.getpid(),
            "user": user_name(), "machine": this_machine(),
            "process_start": process_start(os.getpid()),
        }  # fmt: skip
        # Linked and not opened exclusively: nobody ever sees a lock without its holder.
        draft = self.path.with_name(f"{self.path.name}.{self._token}")
        draft.write_text(json.dumps(holder), encoding="utf-8")
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            return self._open(json.dumps(holder))
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _open(self, text: str) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        os.write(handle, text.encode())
        os.close(handle)
        return True

    def _holder(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _is_stale(self, holder: dict[str, Any]) -> bool:
        if holder.get("machine") == this_machine():
            return process_start(int(holder["pid"])) != holder.get("process_start")
        probe = self.path.with_name(f"{self.path.name}.{self._token}.now")
        try:
            probe.touch()
            age = probe.stat().st_mtime - self.path.stat().st_mtime
        except OSError:
            return False  # released in the meantime
        finally:
            probe.unlink(missing_ok=True)
        return age > STALE_S

    def _take_away(self, holder: dict[str, Any]) -> None:
        """Remove the stale lock; put it back if it was renewed in the meantime."""
        aside = self.path.with_name(f"{self.path.name}.{self._token}.stale")
        with contextlib.suppress(OSError, ValueError):
            self.path.rename(aside)
            moved = json.loads(aside.read_text(encoding="utf-8") or "{}")
            if moved.get("token") != holder.get("token"):
                os.link(aside, self.path)
        aside.unlink(missing_ok=True)

    def _beat(self, silence: threading.Event) -> None:
        while not silence.wait(BEAT_S):
            with contextlib.suppress(OSError):
                if self._holder().get("token") == self._token:
                    os.utime(self.path)
