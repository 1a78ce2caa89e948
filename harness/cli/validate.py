"""`harness validate`: all mistakes of a benchmark file at once."""

from __future__ import annotations

import argparse
from typing import Any

from ..schema.errors import DataError, Exit
from .options import add_command, open_matrix
from .output import counted, emit_json, say


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "check the benchmark file and report all its mistakes at once"
    add_command(commands, "validate", text).set_defaults(handler=validate)


def validate(args: argparse.Namespace) -> Exit:
    """Load the matrix and say what it holds; mistakes leave through main."""
    from ..plan.overlap import refuse_overlaps
    from ..plan.plan import missing_weights

    matrix = open_matrix(args)
    refuse_overlaps(matrix)
    if missing := missing_weights(matrix):
        raise DataError("\n".join(missing.values()))
    facts = {
        "methods": [entry.name for entry in matrix.methods],
        "tasks": [entry.name for entry in matrix.tasks],
        "protocols": list(matrix.protocols),
        "seeds": list(matrix.seeds),
        "folds": matrix.folds,
    }
    if args.json:
        top = {"valid": True, "benchmark": str(matrix.path), "tier": matrix.tier}
        emit_json({**top, **facts})
    else:
        counts = ", ".join(
            (
                counted(len(matrix.methods), "method"),
                counted(len(matrix.tasks), "task"),
                counted(len(matrix.protocols), "protocol"),
                counted(len(matrix.seeds), "seed"),
            )
        )
        say(f"{args.benchmark} is valid: {counts}, tier {matrix.tier}.")
    return Exit.DONE
