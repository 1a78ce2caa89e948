"""`harness curves`: training curves for TensorBoard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..schema.errors import Exit, UserError
from .options import add_command, filters, open_results
from .output import counted, emit_json, say


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = (
        "write the curves of every published training as TensorBoard event files, one "
        "run each (tensorboard --logdir DIR shows them)"
    )
    command = add_command(commands, "curves", text)
    command.add_argument("out", type=Path, metavar="DIR", help="folder to write into")
    command.set_defaults(handler=curves)


def curves(args: argparse.Namespace) -> Exit:
    """Write the files. --filter keeps trainings by their labels."""
    from ..matrix.filters import FIELDS, parse_filter
    from ..report.events import export_curves
    from ..store.frames import Results

    store = open_results(args)
    results = Results(store.root)
    chosen = parse_filter(filters(args))
    labels = results.labels()
    only = {}
    for field in FIELDS:
        values = labels[field].dropna().unique().tolist()
        chosen.check(field, values)
        kept = [value for value in values if chosen.allows(field, value)]
        if len(kept) < len(values):
            only[field] = kept
    written = list(export_curves(results, args.out, only))
    if not written:
        msg = f"{store.root} holds no training curves" + (
            " that the filter keeps" if filters(args) else ""
        )
        raise UserError(msg)
    if args.json:
        emit_json([str(path) for path in written])
        return Exit.DONE
    say(f"{counted(len(written), 'training')} written under {args.out}; see them with:")
    say(f"tensorboard --logdir {args.out}")
    return Exit.DONE
