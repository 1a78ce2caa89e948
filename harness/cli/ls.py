"""`harness ls`: the methods, tasks and corpora there are; the cells of a matrix."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .options import add_command, open_content, open_matrix, open_store
from .output import columns, counted, emit_json, say

if TYPE_CHECKING:
    pass

Row = Mapping[str, Any]


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "ls", "list methods, tasks, corpora or cells")
    command.add_argument("what", choices=("methods", "tasks", "corpora", "cells"))
    command.set_defaults(handler=ls)


def ls(args: argparse.Namespace) -> Exit:
    """List one kind of thing."""
    listing: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
        "methods": _methods,
        "tasks": _tasks,
        "corpora": _corpora,
        "cells": _cells,
    }
    rows = listing[args.what](args)
    if args.json:
        emit_json(rows)
    elif not rows:
        say(f"no {args.what}.")
    else:
        head = [key for key in rows[0] if key not in ("settings", "keys")]
        columns(head, [[_text(row[key]) for key in head] for row in rows])
    return Exit.DONE


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return "-" if value is None else str(value)


def _methods(args: argparse.Namespace) -> list[Row]:
    from ..registry.describe import describe
    from ..registry.yamlfile import read_yaml

    content = open_content(args)
    files = {name: content.file("methods", name) for name in content.names("methods")}
    stems = [name for name, path in files.items() if path.suffix == ".py"]
    answer = describe(content, stems, [])
    rows: list[Row] = []
    for name, path in files.items():
        row: dict[str, Any] = dict.fromkeys(
            ("name", "extends", "role", "encoders", "dims", "version", "title")
        )
        row["name"] = name
        if about := answer.methods.get(name):
            row |= {
                "role": about.role,
                "encoders": list(about.encoders),
                "dims": list(about.dims),
                "version": about.version,
                "title": about.title,
                "settings": dict(about.settings),
            }
        elif name in answer.failures:
            row["title"] = answer.failures[name]
        else:
            variant = read_yaml(path).data
            row |= {"extends": variant.get("extends"), "title": variant.get("about")}
        rows.append(row)
    return rows


def _tasks(args: argparse.Namespace) -> list[Row]:
    content = open_content(args)
    rows: list[Row] = []
    for name in content.names("tasks"):
        spec = content.task(name)
        rows.append(
            {
                "name": name,
                "kind": spec.kind,
                "modality": spec.modality,
                "dims": f"{spec.dims}-D",
                "cases": spec.cases,
                "classes": spec.classes,
                "metrics": list(spec.metrics),
                "data": "synthetic" if spec.synthetic else "real",
                "title": spec.title,
            }
        )
    return rows


def _corpora(args: argparse.Namespace) -> list[Row]:
    content = open_content(args)
    rows: list[Row] = []
    for name in content.names("corpora"):
        spec = content.corpus(name)
        tasks = [source.name for source in spec.sources]
        rows.append({"name": name, "sources": tasks, "title": spec.title})
    return rows


def _cells(args: argparse.Namespace) -> list[Row]:
    from ..plan import make_plan

    matrix = open_matrix(args)
    plan = make_plan(matrix, open_store(args, matrix))
    done = {cell.evaluate_key for cell in plan.done}
    if not args.json:
        say(f"{counted(len(plan.cells), 'cell')}, {len(plan.done):,} done")
    return [
        {
            "cell": cell.evaluate_key[:16],
            "method": cell.method,
            "encoder": cell.encoder,
            "task": cell.task,
            "protocol": cell.protocol,
            "label_budget": cell.budget,
            "fold": cell.fold,
            "seed": cell.seed,
            "pretraining_seed": cell.pretraining_seed,
            "state": "done" if cell.evaluate_key in done else "todo",
            "keys": {
                "pretrain": cell.pretrain_key,
                "adapt": cell.adapt_key,
                "evaluate": cell.evaluate_key,
            },
        }
        for cell in plan.cells
    ]
