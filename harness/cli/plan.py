"""`harness plan`: what is still to do, what waits for what, and what it will cost."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store, results_folder
from .output import columns, counted, duration, emit_json, say, size

if TYPE_CHECKING:
    from ..plan import Plan
    from ..plan.cost import Cost, Row


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "say what is still to do and what it will cost, without doing it"
    command = add_command(commands, "plan", text)
    command.add_argument(
        "--cost",
        action="store_true",
        help="print hours, GPU-hours and disk by phase, method and task",
    )
    command.set_defaults(handler=plan)


def plan(args: argparse.Namespace) -> Exit:
    """Plan and print; nothing is written."""
    from ..plan import make_plan

    matrix = open_matrix(args)
    results = results_folder(args, matrix)
    found = make_plan(matrix, open_store(args, matrix))
    document = {**found.to_json(), "results": str(results)}
    if args.cost:
        document["costs"] = [
            {"phase": row.phase, "method": row.method, "task": row.task or None}
            | row.cost.to_json()
            for row in found.cost_table
        ]
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
    if document["analyses"]:
        say(
            f"  {document['analyses']:,} analyses of these cells, "
            f"{document['analyses_todo']:,} to do"
        )
    if document["missing_nodes"]:
        say(f"  cost: about {_in_words(found.cost())}")
    if args.cost:
        _say_table(found)
    for note in document["notes"]:
        say(f"  note: {note}")
    for reason in found.missing_data.values():
        say(f"  missing data: {reason}")
    for name, reason in found.left_out.items():
        say(f"  left out of its corpus: {name} ({reason})")
    return Exit.DONE


def _in_words(cost: Cost) -> str:
    parts = [duration(cost.hours) + " of work"]
    if cost.gpu_hours:
        parts.append(f"{cost.gpu_hours:,.3g} GPU-hours")
    return f"{', '.join(parts)}, {size(cost.bytes)} of disk"


def _say_table(found: Plan) -> None:
    """Print the cost of each phase, method and task, and what it rests on."""
    from ..plan.cost import CASE_S, ON_GPU, STEP_S, Cost

    rows = found.cost_table
    if not rows:
        return
    say()
    head = ("phase", "method", "task", "nodes", "hours", "GPU-hours", "disk", "from")
    columns(head, [_row(row) for row in rows])
    say()
    phases = dict.fromkeys(row.phase for row in rows)
    for phase in phases:
        cost = sum((row.cost for row in rows if row.phase == phase), Cost())
        say(f"  {phase} ({counted(cost.nodes, 'node')}): {_in_words(cost)}")
    assumed = sum(row.cost.assumed for row in rows)
    if assumed:
        tier = found.matrix.tier
        where = " on a GPU" if tier in ON_GPU else ""
        say(
            f"  {counted(assumed, 'node')} of a kind that has not run here yet are "
            f"assumed to take {STEP_S[tier]:g} s per training step and "
            f"{CASE_S[tier]:g} s per test case{where}, less where they are images, "
            "classified or probed; one such run makes it a measurement"
        )


def _row(row: Row) -> tuple[str, ...]:
    cost = row.cost
    return (
        row.phase, row.method, row.task or "-", f"{cost.nodes:,}", f"{cost.hours:.3g}",
        f"{cost.gpu_hours:.3g}", size(cost.bytes),
        "assumptions" if cost.assumed else "past runs",
    )  # fmt: skip
