"""`harness rehearse`: a benchmark proven on made-up data before it costs anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .backends import positive
from .options import add_command, filters, results_folder
from .output import counted, emit_json, say

if TYPE_CHECKING:
    from .rehearsal import Part, Rehearsal


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "rehearse",
        "run every method, task, pairing and analysis of a benchmark once, in seconds "
        "each, on made-up cases of the same format, and draw every table and figure",
    )
    command.add_argument(
        "--list",
        action="store_true",
        help="print what would be run and what it covers; run nothing",
    )
    command.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes (default: one per core)",
    )
    command.set_defaults(handler=rehearse)


def rehearse(args: argparse.Namespace) -> Exit:
    """Make the data, run the covering cells, draw the report; say how each part went."""
    from ..matrix import load
    from .rehearsal import Rehearsal

    matrix = load(args.benchmark, filters=filters(args), rehearsal=True)
    folder = _folder(args, results_folder(args, matrix))
    rehearsal = Rehearsal(matrix, folder)
    if args.list:
        return _list(rehearsal, args)
    if not args.json:
        say(_summary(rehearsal))
    rehearsal.run(workers=args.workers)
    parts = rehearsal.parts()
    failed = [part for part in parts if part.state == "failed"]
    if args.json:
        emit_json([part._asdict() for part in parts])
    else:
        _say(parts)
        good = len(parts) - len(failed)
        say(f"{good} of {counted(len(parts), 'part')} rehearsed without failure")
        say(f"Results of the rehearsal, which mean nothing: {folder}")
    return Exit.FAILED if failed else Exit.DONE


def _folder(args: argparse.Namespace, results: Path) -> Path:
    """Return where a rehearsal lies: never among results that mean something."""
    return results / "rehearsals" / Path(args.benchmark).stem


def _summary(rehearsal: Rehearsal) -> str:
    chosen, cells = len(rehearsal.cells), len(rehearsal.plan.cells)
    covered = counted(len(rehearsal.items), "part")
    return f"{chosen} of {counted(cells, 'cell')} cover {covered} of the matrix"


def _list(rehearsal: Rehearsal, args: argparse.Namespace) -> Exit:
    if args.json:
        emit_json(
            {
                "cells": [cell.label for cell in rehearsal.cells],
                "covers": [item._asdict() for item in rehearsal.items],
            }
        )
        return Exit.DONE
    say(_summary(rehearsal))
    for item in rehearsal.items:
        say(f"  {item.kind:8} {item.name}")
    say("by running")
    for cell in rehearsal.cells:
        say(f"  {cell.label}")
    return Exit.DONE


def _say(parts: list[Part]) -> None:
    for part in parts:
        reason = f": {part.reason}" if part.reason else ""
        say(f"  {part.state:7} {part.kind:8} {part.name}{reason}")
