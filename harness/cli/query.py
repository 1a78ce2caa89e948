"""`harness query`: a question in SQL about the results, read only."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_results
from .output import columns, emit_json, say

if TYPE_CHECKING:
    from ..store.sql import Answer

FORMATS = ("term", "md", "csv", "json")


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = (
        "run one SELECT over the tables runs, cases, predictions, curves and features "
        "(results/README.md has their columns); DuckDB's SQL, read only"
    )
    command = add_command(commands, "query", text)
    command.add_argument("sql", metavar="SQL", help="'-' reads it from stdin")
    command.add_argument(
        "--format", choices=FORMATS, default="term", help="of the rows"
    )
    command.set_defaults(handler=query)


def query(args: argparse.Namespace) -> Exit:
    """Answer the query on stdout."""
    from ..store.sql import ask

    sql = sys.stdin.read() if args.sql == "-" else args.sql
    found = ask(open_results(args), sql)
    form = "json" if args.json else args.format
    if form == "json":
        emit_json({"columns": found.columns, "rows": _plain_rows(found)})
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows([_text(value, "") for value in row] for row in found.rows)
    elif form == "md":
        _markdown(found)
    else:
        columns(found.columns, [[_text(v, "-") for v in row] for row in found.rows])
    return Exit.DONE


def _markdown(found: Answer) -> None:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    say(line(found.columns))
    say(line(["---"] * len(found.columns)))
    for row in found.rows:
        say(line([_text(value, "") for value in row]))


def _plain_rows(found: Answer) -> list[list[Any]]:
    return [[_plain(value) for value in row] for row in found.rows]


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it. Not-a-number and infinities become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _text(value: Any, nothing: str) -> str:
    plain = _plain(value)
    if plain is None:
        return nothing
    text = plain if isinstance(plain, str) else json.dumps(plain)
    return " ".join(text.split())
