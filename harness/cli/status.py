"""`harness status`: what is done, running, waiting, failed or missing."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store
from .output import emit_json, say

POLL_S = 40.0  # one squeue a time: more often would burden the controller


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
    from ..plan import make_plan
    from ..plan.changed import changed_sources
    from ..submit.status import status as look

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    while True:
        plan = make_plan(matrix, store)
        found = look(plan.cells, store)
        notes = changed_sources(plan)
        if args.json:
            emit_json({**found.to_json(), "notes": notes})
        else:
            say(found.to_text())
            for note in notes:
                say(f"note: {note}")
        if args.json or not args.watch or not found.active:
            return found.exit
        try:
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            return Exit.INCOMPLETE
