"""`harness predict`: the model of a cell on new images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..schema.errors import Exit, UserError
from .options import add_command
from .output import counted, emit_json, progress_line, say
from .why import CELL, find_cell


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "predict new images with the model of a cell that is done"
    command = add_command(commands, "predict", text)
    command.add_argument("cell", nargs="+", metavar="CELL", help=CELL)
    command.add_argument(
        "--input", type=Path, required=True, metavar="DIR",
        help="folder of images: NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, or folders of "
        "DICOM; channels as CASE_0000, CASE_0001, ...",
    )  # fmt: skip
    command.add_argument(
        "--output", type=Path, required=True, metavar="DIR",
        help="new folder: a mask per image in its own geometry, or scores.csv",
    )  # fmt: skip
    command.set_defaults(handler=predict)


def predict(args: argparse.Namespace) -> Exit:
    """Write the predictions, all or none."""
    target, store, _ = find_cell(args)
    if len(target.nodes) == 1:
        msg = f"{target.label} is a pretraining: name a cell, which has learnt a task"
        raise UserError(msg)
    # Here: it needs torch, which no message above must wait for.
    from ..run.predict import predict as run

    names = run(
        store, target.key, args.input, args.output,
        reading=progress_line("read", "image"),
        predicting=progress_line("predicted", "image"),
    )  # fmt: skip
    if args.json:
        emit_json({"cell": target.key, "output": str(args.output), "written": names})
    else:
        say(f"{counted(len(names), 'file')} in {args.output}, by {target.label}")
    return Exit.DONE
