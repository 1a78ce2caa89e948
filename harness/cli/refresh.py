"""`harness report --watch`: write the report again while a run goes on."""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from datetime import datetime

from ..schema.errors import Exit, UserError
from .options import alone, open_matrix, open_store
from .output import counted, say

Report = Callable[[argparse.Namespace], Exit]
_SHORTEST_S = 1.0


def add_watch(command: argparse.ArgumentParser) -> None:
    """Add the option that `watched` reads."""
    command.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=60.0,
        default=None,
        metavar="SECONDS",
        help="write the report again every 60 seconds, or so many, until no cell is "
        "missing; Ctrl-C ends it",
    )


def watched(
    args: argparse.Namespace,
    report: Report,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Exit:
    """Report once, or with --watch until every cell is published.

    A table that was asked for by name is printed each time; otherwise a line says how
    far the run is, and the files are what is refreshed. Raises UserError as the report,
    but for there being nothing to show yet.
    """
    if args.watch is None:
        return report(args)
    if args.watch < _SHORTEST_S:
        msg = f"--watch {args.watch:g}: expected {_SHORTEST_S:g} second or more"
        raise UserError(msg)
    if args.json:
        msg = "--watch prints more than one document: leave out --json"
        raise UserError(msg)
    from ..report.options import NothingYet

    while True:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                report(args)
        except NothingYet as nothing:
            said = str(nothing)
        else:
            if args.table is not None:
                say(printed.getvalue().rstrip())
            said = next(
                (
                    line
                    for line in printed.getvalue().splitlines()
                    if "Written:" in line
                ),
                "Nothing is written: --table prints, --format writes.",
            )
        at = datetime.now().astimezone().strftime("%H:%M:%S")
        if alone(args):  # then nobody knows how many cells there are to be
            say(f"{at}  {said}")
        else:
            done, cells = _progress(args)
            say(f"{at}  {done:,} of {counted(cells, 'cell')} published. {said}")
            if done == cells:
                return Exit.DONE
        sleep(args.watch)


def _progress(args: argparse.Namespace) -> tuple[int, int]:
    """Return how many cells are published, of how many."""
    from ..plan import make_plan

    matrix = open_matrix(args)
    plan = make_plan(matrix, open_store(args, matrix))
    return len(plan.done), len(plan.cells)
