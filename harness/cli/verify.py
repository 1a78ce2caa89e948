"""`harness verify`: re-hash every published file and every collected table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_results
from .output import counted, emit_json, progress_line, say

if TYPE_CHECKING:
    from ..store import Store
    from ..store.store import Problem


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "hash every published file again and compare it with its manifest"
    command = add_command(commands, "verify", text)
    command.add_argument(
        "--set-aside",
        action="store_true",
        help="rename the manifests of damaged nodes, so that the next run computes "
        "them again; nothing is deleted",
    )
    command.set_defaults(handler=verify)


def verify(args: argparse.Namespace) -> Exit:
    """Verify the whole results folder, whatever the matrix says of it."""
    store = open_results(args)
    published = len(store.done())
    problems = store.verify(progress=progress_line("hashed", "node"))
    damaged = list(dict.fromkeys(one.key for one in problems if "/" not in one.key))
    aside = _set_aside(store, damaged) if args.set_aside else []
    if args.json:
        emit_json(
            {
                "published": published,
                "problems": [one._asdict() for one in problems],
                "set_aside": aside,
            }
        )
    else:
        _say(problems, published, damaged, aside, asked=args.set_aside)
    return Exit.FAILED if problems else Exit.DONE


def _set_aside(store: Store, damaged: list[str]) -> list[str]:
    return [key for key in damaged if store.set_aside(key)]


def _say(
    problems: list[Problem],
    published: int,
    damaged: list[str],
    aside: list[str],
    *,
    asked: bool,
) -> None:
    for problem in problems:
        name = problem.key if "/" in problem.key else problem.key[:16]
        say(f"{name}: {problem.message}")
    say(f"{counted(published, 'node')} published, {len(damaged)} damaged")
    if asked and damaged:
        say(f"{counted(len(aside), 'node')} set aside: run again to compute what lacks")
    elif damaged:
        say("harness verify --set-aside has them computed again by the next run")
