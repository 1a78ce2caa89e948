"""`harness status`: what is done, running, waiting, failed or missing."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store
from .output import emit_json, say

if TYPE_CHECKING:
    from ..submit.states import Ask
    from ..submit.status import Status

REFRESH_S = 10.0  # between two looks at files; SLURM is asked less often


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands, "status", "say what is done, running, waiting, failed or missing"
    )
    command.add_argument(
        "--watch", action="store_true", help="show again until nothing runs or waits"
    )
    command.set_defaults(handler=status)


def status(args: argparse.Namespace) -> Exit:
    """Print the state of every cell; with --watch again and again while jobs run."""
    if args.watch:
        return _watch(args)
    found, notes = _look(args)
    if args.json:
        emit_json({**found.to_json(), "notes": notes})
    else:
        say(found.to_text())
        for note in notes:
            say(f"note: {note}")
    return found.exit


def _look(args: argparse.Namespace, ask: Ask | None = None) -> tuple[Status, list[str]]:
    """Return the state, and what the reader should know of the results."""
    from ..plan import make_plan
    from ..plan.changed import changed_sources
    from ..submit.status import status as look

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    plan = make_plan(matrix, store)
    found = look(plan.cells, store, ask, plan.pretrainings, plan.analyses)
    notes = [
        f"{text}" if count == 1 else f"{text} ({count:,} results)"
        for text, count in found.warnings.items()
    ]
    return found, [*notes, *changed_sources(plan)]


def _watch(args: argparse.Namespace) -> Exit:
    """Show the state until nothing runs or waits; with --json only the last one."""
    from ..submit.board import Live
    from ..submit.queue import PacedQueue

    queue, live = PacedQueue(), Live()
    while True:
        found, notes = _look(args, queue)
        if not found.active:
            break
        # Where SLURM has nothing of ours, only files are looked at.
        pause_s = max(REFRESH_S, queue.pause_s) if found.uses_slurm else REFRESH_S
        if not args.json:
            live.show(found, pause_s=pause_s)
        try:
            time.sleep(pause_s)
        except KeyboardInterrupt:
            return Exit.INCOMPLETE
    if args.json:
        emit_json({**found.to_json(), "notes": notes})
    else:
        live.close(found, [f"note: {note}" for note in notes])
    return found.exit
