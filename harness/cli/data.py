"""`harness data`: the data of the tasks. Its part `ls` says what is there."""

from __future__ import annotations

import argparse
from typing import Any

from ..schema.errors import DataError, Exit
from .options import add_command, global_options, open_matrix
from .output import columns, emit_json


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "data", "list the data of the tasks")
    parts = command.add_subparsers(dest="data_command", metavar="WHAT", required=True)
    text = "say which tasks of the benchmark have their data"
    below = [global_options(top_level=False)]
    parts.add_parser("ls", help=text, description=text, parents=below).set_defaults(
        handler=data_ls
    )


def data_ls(args: argparse.Namespace) -> Exit:
    """List the datasets of the matrix, its corpora included."""
    from ..volumes.formats import list_cases, open_dataset

    matrix = open_matrix(args)
    specs = {**matrix.corpus_tasks, **{task.name: task.spec for task in matrix.tasks}}
    rows: list[dict[str, Any]] = []
    for name, spec in specs.items():
        row: dict[str, Any] = {
            "task": name, "state": "present", "cases": None, "declared": spec.cases,
            "folder": None, "note": None,
        }  # fmt: skip
        try:
            generator = matrix.content.generator(spec)
            dataset = open_dataset(name, spec, matrix.data_roots, generator)
        except DataError as error:
            row |= {"state": "missing", "note": str(error)}
        else:
            row["folder"] = str(dataset.root) if dataset.root else None
            row["state"] = "generated" if generator is not None else "present"
            try:
                row["cases"] = len(list_cases(dataset))
            except DataError as error:
                row |= {"state": "wrong", "note": str(error)}
        rows.append(row)
    if args.json:
        emit_json(rows)
    else:
        head = list(rows[0])
        shown = [[("-" if v is None else v) for v in row.values()] for row in rows]
        columns(head, shown)
    return Exit.DONE
