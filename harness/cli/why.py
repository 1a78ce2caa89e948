"""`harness why`: all that is known of one cell, and what to do next."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_matrix, open_store
from .output import emit_json, say

if TYPE_CHECKING:
    from ..plan.find import Target
    from ..store import Store

CELL = (
    "first digits of a key (harness ls cells), or words that fit one cell, such as "
    "'smit hippocampus finetune 5-shot seed=0'; 'pretrain smit' is a pretraining"
)


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "say why a cell is not done (or that it is), and what to do next"
    command = add_command(commands, "why", text)
    command.add_argument("cell", nargs="+", metavar="CELL", help=CELL)
    command.set_defaults(handler=why)


def find_cell(args: argparse.Namespace) -> tuple[Target, Store, dict[str, str]]:
    """Return the cell that the words of the command name. Raises UserError.

    The last of the three says which pretraining starts from which.
    """
    from ..plan import make_plan
    from ..plan.find import find
    from ..submit.status import stages_of

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    plan = make_plan(matrix, store)
    target = find(plan.cells, plan.pretrainings, " ".join(args.cell), plan.analyses)
    return target, store, stages_of(plan.pretrainings)


def why(args: argparse.Namespace) -> Exit:
    """Explain one cell; the exit code says how it stands, as that of status."""
    from ..submit.states import ENDED_BADLY, Observer
    from ..submit.why import explain

    target, store, stages = find_cell(args)
    found = explain(target, Observer(store, stages=stages))
    if args.json:
        emit_json(found.to_json())
    else:
        say(found.to_text())
    state = found.standing.state
    if state in ENDED_BADLY:
        return Exit.FAILED
    return Exit.DONE if state == "done" else Exit.INCOMPLETE
