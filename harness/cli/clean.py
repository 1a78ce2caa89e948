"""`harness clean`: list what is superseded in the results folder, then remove it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..schema.errors import Exit
from .options import add_command, open_results
from .output import columns, counted, emit_json, say, size


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "clean",
        "list what is superseded in the results folder, and remove it when told to: files "
        "of old attempts, checkpoints of finished nodes, unused caches, old logs",
    )
    command.add_argument(
        "--yes", action="store_true", help="remove without asking; else it asks"
    )
    command.set_defaults(handler=clean)


def clean(args: argparse.Namespace) -> Exit:
    """List by reason, ask on a terminal, remove. Published files are never touched."""
    from ..store.clean import find, remove
    from ..submit import ended

    store = open_results(args)
    found = sorted([*find(store), *ended.find(store)], key=lambda waste: waste.path)
    total = sum(waste.bytes for waste in found)
    if not args.json and found:
        _list(found)
    removing = bool(found) and (args.yes or (not args.json and _confirmed()))
    freed = remove(store.root, found) if removing else 0
    if args.json:
        listed = [
            {"path": str(w.path), "reason": w.reason, "bytes": w.bytes} for w in found
        ]
        emit_json({"found": listed, "bytes": total, "removed_bytes": freed})
    elif not found:
        say("nothing is superseded")
    elif removing:
        say(f"{size(freed)} removed")
    else:
        say("nothing was removed: harness clean --yes removes it")
    return Exit.DONE


def _list(found: list[Any]) -> None:
    reasons: dict[str, list[int]] = {}
    for waste in found:
        reasons.setdefault(waste.reason, []).append(waste.bytes)
    rows = [(reason, f"{len(s):,}", size(sum(s))) for reason, s in reasons.items()]
    columns(("what", "number", "size"), rows)
    for waste in found[:20]:
        say(f"  {waste.path}")
    if len(found) > 20:
        say(f"  ... and {counted(len(found) - 20, 'other')}; --json lists all")


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stdout.write("remove all of this? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
