"""`harness collect`: the tables of all published nodes in one file each."""

from __future__ import annotations

import argparse
from typing import Any

from ..schema.errors import Exit
from .options import add_command, open_results
from .output import counted, emit_json, progress_line, say, size


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "copy the tables of all published nodes into one file each, for fast reading"
    command = add_command(commands, "collect", text)
    command.add_argument(
        "--afresh",
        action="store_true",
        help="read every node's own files again instead of what was collected before",
    )
    command.set_defaults(handler=collect)


def collect(args: argparse.Namespace) -> Exit:
    """Collect; nodes whose files cannot be trusted are left out and named."""
    from ..store.collect import collect as gather

    store = open_results(args)
    found = gather(store, afresh=args.afresh, progress=progress_line("read", "node"))
    if args.json:
        emit_json(
            {
                "snapshot": found.name,
                "nodes": found.nodes,
                "added": found.added,
                "rows": dict(found.rows),
                "bytes": found.bytes,
                "left_out": [one._asdict() for one in found.left_out],
            }
        )
    else:
        for one in found.left_out:
            say(f"{one.key[:16]} left out: {one.message}")
        if found.left_out:
            say("harness verify --set-aside has them computed again by the next run")
        rows = sum(count for name, count in found.rows.items() if name != "runs")
        say(
            f"{counted(found.nodes, 'node')} collected, {found.added:,} of them new: "
            f"{counted(rows, 'row')}, {size(found.bytes)}"
        )
    return Exit.FAILED if found.left_out else Exit.DONE
