"""`harness logs`: what a cell has printed; -f follows it while it runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command
from .output import emit_json, say
from .why import CELL, find_cell

if TYPE_CHECKING:
    from ..plan.find import Target
    from ..submit.states import Observer, Standing

LINES = 200  # of each log, from its end, unless told
LOOK_S = 1.0  # between two looks at a log that is followed
STATE_S = 10.0  # between two looks at whether the cell still runs


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "logs", "print what a cell or pretraining printed")
    command.add_argument("cell", nargs="+", metavar="CELL", help=CELL)
    command.add_argument(
        "-f", "--follow", action="store_true", help="go on until it has ended"
    )
    command.add_argument(
        "-n", "--lines", type=int, default=LINES, metavar="N",
        help=f"last lines of each log (default {LINES}; 0: all)",
    )  # fmt: skip
    command.add_argument(
        "--all", action="store_true", help="logs of earlier attempts as well"
    )
    command.set_defaults(handler=logs)


def logs(args: argparse.Namespace) -> Exit:
    """Print the logs, each under its path; say so where there are none."""
    from ..submit.queue import PacedQueue
    from ..submit.states import Observer
    from ..submit.why import logs_of

    target, store, stages = find_cell(args)
    queue = PacedQueue()

    def look() -> Observer:
        return Observer(store, queue, stages)

    observer = look()
    standing = observer.job(target.nodes, target.needs)
    paths = logs_of(target, observer, every=args.all)
    if args.json:
        texts = [{"path": str(p), "text": _tail(p, args.lines)[0]} for p in paths]
        emit_json({"key": target.key, "state": standing.state, "logs": texts})
        return Exit.DONE
    shown: dict[Path, int] = {}
    for path in paths:
        text, shown[path] = _tail(path, args.lines)
        _print(path, text)
    if not args.follow or standing.state not in {"running", "pending"}:
        if not paths:
            _say_none(target, standing)
        return Exit.DONE if paths else Exit.INCOMPLETE
    try:
        _follow(target, look, shown)
    except KeyboardInterrupt:
        return Exit.INCOMPLETE
    return Exit.DONE


def _say_none(target: Target, standing: Standing) -> None:
    reason = f" ({standing.reason})" if standing.reason else ""
    sys.stderr.write(f"{target.label} has no log yet: it is {standing.state}{reason}\n")


def _tail(path: Path, count: int) -> tuple[str, int]:
    """Return the last lines of a file and its length in bytes, as far as it is read."""
    with path.open("rb") as file:
        lines = deque(file, maxlen=count or None)
        return b"".join(lines).decode(errors="replace"), file.tell()


def _print(path: Path, text: str) -> None:
    say(f"==> {path} <==")
    sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
    sys.stdout.flush()


def _follow(
    target: Target, look: Callable[[], Observer], shown: dict[Path, int]
) -> None:
    """Print what is added to the logs, those of later attempts too, until it has ended."""
    from ..submit.why import logs_of

    last = next(reversed(shown), None)
    while True:
        observer = look()
        standing = observer.job(target.nodes, target.needs)
        active = standing.state in {"running", "pending"}
        end = time.monotonic() + (STATE_S if active else 0.0)
        while True:
            for path in logs_of(target, observer):
                with path.open("rb") as file:
                    file.seek(shown.get(path, 0))
                    added = file.read()
                    shown[path] = file.tell()
                if added and path != last:
                    say(f"==> {path} <==")
                    last = path
                sys.stdout.write(added.decode(errors="replace"))
            sys.stdout.flush()
            if time.monotonic() >= end:
                break
            time.sleep(LOOK_S)
        if not active:
            reason = f": {standing.reason}" if standing.reason else ""
            say(f"==> {standing.state}{reason} <==")
            return
