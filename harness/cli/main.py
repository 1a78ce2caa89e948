"""Parse the command line, run one sub-command, turn errors into exit codes.

A sub-command is a module of this package with `add_parser(commands)`, which imports
nothing heavy and sets `handler`, a function of the parsed arguments that returns an
Exit. To add one, write the module and put its name into COMMANDS.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from ..schema.errors import Exit, Mistakes, UserError
from .options import global_options
from .output import emit_json

COMMANDS = (
    "validate",
    "ls",
    "plan",
    "run",
    "rehearse",
    "cancel",
    "status",
    "why",
    "logs",
    "report",
    "curves",
    "predict",
    "clean",
    "collect",
    "query",
    "export",
    "verify",
    "doctor",
    "data",
    "check",
    "new",
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. Imports no command's own machinery."""
    top = argparse.ArgumentParser(
        prog="harness",
        description="Compare pretrainings of medical image encoders: methods x tasks x "
        "label budgets x seeds, from one YAML file.",
        parents=[global_options(top_level=True)],
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f".{name}", __package__).add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack letters
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser().parse_args(argv)
    try:
        code = int(args.handler(args))
        sys.stdout.flush()
    except UserError as error:
        return _refuse(error, args)
    except BrokenPipeError:
        # The reader of a pipe went away (`harness ls cells | head`): nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        sys.stderr.write("\nharness: interrupted.\n")
        return 128 + signal.SIGINT
    return code


def _refuse(error: UserError, args: argparse.Namespace) -> int:
    if args.json:
        document: dict[str, object] = {"error": str(error)}
        if isinstance(error, Mistakes):
            document["mistakes"] = [
                {"file": each.file, "line": each.line, "message": each.message}
                for each in error.mistakes
            ]
        emit_json(document)
    sys.stderr.write("".join(f"harness: {line}\n" for line in str(error).splitlines()))
    return int(Exit.USAGE)
