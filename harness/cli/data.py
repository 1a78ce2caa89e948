"""`harness data`: what data the tasks have (ls), whether it is sound (check), fetch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import DataError, Exit
from .options import add_command, global_options, open_matrix
from .output import columns, counted, emit_json, say, size

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..schema.task import TaskSpec

SHOWN_FAULTS = 50


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "data", "list, check or fetch the data of tasks")
    parts = command.add_subparsers(dest="data_command", metavar="WHAT", required=True)

    def add(name: str, text: str, handler: Any) -> argparse.ArgumentParser:
        below = [global_options(top_level=False)]
        part: argparse.ArgumentParser = parts.add_parser(
            name, help=text, description=text, parents=below
        )
        part.set_defaults(handler=handler)
        return part

    add("ls", "say which tasks of the benchmark have their data", data_ls)
    part = add("check", "read every case of a task and report every fault", data_check)
    part.add_argument("task", metavar="TASK")
    text = "download what a task's publisher offers openly, or a method's weights"
    part = add("fetch", text, data_fetch)
    part.add_argument(
        "task", metavar="TASK", help="a task, or a method of the benchmark"
    )
    part.add_argument(
        "--to", type=Path, metavar="DIR",
        help="folder to fetch into (default: data_root of the benchmark file, "
        "MEDSSL_DATA, or data/ beside tasks/)",
    )  # fmt: skip


def _spec(matrix: Matrix, task: str) -> TaskSpec:
    """Return the spec of a task as the benchmark sets it, or as its own file does."""
    for entry in matrix.tasks:
        if entry.name == task:
            return entry.spec
    return matrix.content.task(task)


def data_check(args: argparse.Namespace) -> Exit:
    """Read every case and report every fault; nothing is written."""
    from ..volumes.formats import list_cases, open_dataset, read_case

    matrix = open_matrix(args)
    spec = _spec(matrix, args.task)
    generator = matrix.content.generator(spec)
    dataset = open_dataset(args.task, spec, matrix.data_roots, generator)
    cases = list_cases(dataset)
    faults = []
    for number, ref in enumerate(cases, start=1):
        try:
            read_case(dataset, ref)
        except DataError as error:
            faults.append(str(error))
        if sys.stderr.isatty():
            sys.stderr.write(f"\rchecked {number} of {counted(len(cases), 'case')}")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    if args.json:
        emit_json({"task": args.task, "cases": len(cases), "faults": faults})
    else:
        for fault in faults[:SHOWN_FAULTS]:
            say(fault)
        if len(faults) > SHOWN_FAULTS:
            say(f"... and {len(faults) - SHOWN_FAULTS} more")
        say(f"{args.task}: {counted(len(cases), 'case')} read, {len(faults)} at fault")
    return Exit.FAILED if faults else Exit.DONE


def data_fetch(args: argparse.Namespace) -> Exit:
    """Download a task's files or a method's weights, or say where to get them."""
    from ..registry.weights import fetch_weights
    from ..volumes.fetch import fetch

    matrix = open_matrix(args)
    method = matrix.stages.get(args.task)
    weights = method.weights if method is not None else None
    root = args.to if args.to is not None else matrix.data_roots[0]
    live = sys.stderr.isatty()

    def show(path: Path, done: int, total: int | None) -> None:
        if live:
            of = f" of {size(total)}" if total else ""
            sys.stderr.write(f"\r{path.name}: {size(done)}{of}      ")

    if weights is not None:
        paths = [fetch_weights(weights, show)]
    else:
        paths = fetch(_spec(matrix, args.task), root, show)
    if live:
        sys.stderr.write("\n")
    if args.json:
        emit_json({"task": args.task, "files": [str(path) for path in paths]})
    else:
        for path in paths:
            say(str(path))
    return Exit.DONE


def data_ls(args: argparse.Namespace) -> Exit:
    """List the datasets of the matrix, its corpora included.

    `split` is the digest of which case is on which side: equal digests, equal splits.
    """
    from ..volumes.formats import list_cases, open_dataset
    from ..volumes.splits import split

    matrix = open_matrix(args)
    specs = {**matrix.corpus_tasks, **{task.name: task.spec for task in matrix.tasks}}
    rows: list[dict[str, Any]] = []
    for name, spec in specs.items():
        row: dict[str, Any] = {
            "task": name, "state": "present", "cases": None, "declared": spec.cases,
            "train": None, "val": None, "test": None, "split": None,
            "licence": spec.source.licence, "folder": None, "note": None,
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
                cases = list_cases(dataset)
                sides = split(name, spec, cases)
                row |= {
                    "cases": len(cases), "train": len(sides.train),
                    "val": len(sides.val), "test": len(sides.test),
                    "split": sides.digest[:16],
                }  # fmt: skip
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
