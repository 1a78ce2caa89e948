"""`harness plan`: what is still to do, what waits for what, and what it will cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store, results_folder
from .output import counted, duration, emit_json, say, size

if TYPE_CHECKING:
    from ..plan.cost import Cost


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "say what is still to do and what it will cost, without doing it"
    command = add_command(commands, "plan", text)
    command.add_argument(
        "--cost",
        action="store_true",
        help="print the hours and disk of each kind of work",
    )
    command.set_defaults(handler=plan)


def plan(args: argparse.Namespace) -> Exit:
    """Plan and print; nothing is written."""
    from ..plan import make_plan

    matrix = open_matrix(args)
    results = results_folder(args, matrix)
    found = make_plan(matrix, open_store(args, matrix))
    document = {**found.to_json(), "results": str(results)}
    if args.json:
        emit_json(document)
        return Exit.DONE
    say(f"{counted(document['cells'], 'cell')} at tier {matrix.tier}, in {results}:")
    say(f"  {document['done']:,} done, {document['todo']:,} to do")
    if document["pretrainings"]:
        say(
            f"  {counted(document['pretrainings'], 'pretraining')} in all, "
            f"{document['pretrainings_done']:,} done, "
            f"{document['pretrainings_todo']:,} to do (one for each cell would be "
            f"{document['naive_pretrainings']:,})"
        )
    if document["waiting"]:
        say(f"  {counted(document['waiting'], 'cell')} wait for a pretraining")
    if document["missing_nodes"]:
        _say_cost("cost", found.cost())
    if args.cost:
        for kind, cost in found.cost_by_kind().items():
            _say_cost(f"  {kind} ({cost.nodes:,})", cost)
    for note in document["notes"]:
        say(f"  note: {note}")
    for reason in found.missing_data.values():
        say(f"  missing data: {reason}")
    return Exit.DONE


def _say_cost(what: str, cost: Cost) -> None:
    if cost.nodes == cost.unknown:
        say(f"  {what}: unknown until something like it has run here")
        return
    rest = ""
    if cost.unknown:
        rest = (
            f", without {counted(cost.unknown, 'node')} that nothing has run like yet"
        )
    say(f"  {what}: about {duration(cost.hours)}, {size(cost.bytes)} of disk{rest}")
