"""`harness cancel`: take the queued and running jobs of chosen cells out of SLURM."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, filters, open_store
from .output import counted, emit_json, say

if TYPE_CHECKING:
    from ..plan import Plan


def add_parser(commands: Any) -> None:
    """Add the command."""
    cancel = add_command(
        commands,
        "cancel",
        "cancel queued and running SLURM jobs (--filter: some cells)",
    )
    cancel.add_argument(
        "--dry-run", action="store_true", help="print what would be cancelled"
    )
    cancel.set_defaults(handler=cancel_command)


def cancel_command(args: argparse.Namespace) -> Exit:
    """Cancel the jobs of the cells that the filters keep."""
    from ..matrix import load
    from ..plan import make_plan
    from ..submit.cancel import carry_out, find

    matrix = load(args.benchmark, filters=filters(args))
    store = open_store(args, matrix)
    chosen = make_plan(matrix, store)
    every = make_plan(load(args.benchmark), store) if filters(args) else chosen
    found = find(store, _keys(chosen), _needed_by_others(every, chosen))
    if not args.dry_run:
        carry_out(found)
    if args.json:
        emit_json(
            {
                "cancelled" if not args.dry_run else "would_cancel": list(found.ids),
                "shared": found.shared,
                "local_runs": [
                    {"host": one.host, "pid": one.pid} for one in found.local
                ],
            }
        )
        return Exit.DONE
    verb = "would be cancelled" if args.dry_run else "cancelled"
    shown = ": " + ", ".join(found.ids[:20]) if found.ids else ""
    more = ", ..." if len(found.ids) > 20 else ""
    say(f"{counted(len(found.ids), 'job')} {verb}{shown}{more}")
    if found.shared:
        say(f"{counted(found.shared, 'job')} left: other cells need them")
    for one in found.local:
        say(
            f"a local run (process {one.pid} on {one.host}) is no SLURM job: stop it "
            "with Ctrl-C there"
        )
    return Exit.DONE


def _keys(plan: Plan) -> list[str]:
    """Return every node that the jobs of a plan's unfinished cells may compute."""
    nodes = [key for cell in plan.todo for key in (cell.adapt_key, cell.evaluate_key)]
    return [*plan.unpublished, *nodes]


def _needed_by_others(every: Plan, chosen: Plan) -> list[str]:
    """Return the nodes that cells outside of the choice wait for."""
    own = {cell.evaluate_key for cell in chosen.todo}
    others = [cell for cell in every.todo if cell.evaluate_key not in own]
    nodes = [key for cell in others for key in (cell.adapt_key, cell.evaluate_key)]
    return [*nodes, *(key for cell in others for key in cell.encoders)]
