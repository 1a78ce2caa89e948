"""`harness verify`: re-hash every published file."""

from __future__ import annotations

import argparse
from typing import Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store
from .output import counted, emit_json, say


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "hash every published file again and compare it with its manifest"
    add_command(commands, "verify", text).set_defaults(handler=verify)


def verify(args: argparse.Namespace) -> Exit:
    """Verify the whole results folder, whatever the matrix says of it."""
    store = open_store(args, open_matrix(args))
    published = len(store.done())
    problems = list(store.verify())
    if args.json:
        emit_json(
            {"published": published, "problems": [one._asdict() for one in problems]}
        )
    else:
        for problem in problems:
            say(f"{problem.key[:16]}: {problem.message}")
        say(f"{counted(published, 'node')} published, {len(problems)} damaged")
    return Exit.FAILED if problems else Exit.DONE
