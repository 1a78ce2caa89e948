"""`harness check methods/NAME.py`: whether a method keeps its contract."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..schema.errors import Exit, UserError
from .options import add_command
from .output import counted, emit_json, say


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "check a method file against the contract, clause by clause, at tier tiny"
    command = add_command(commands, "check", text)
    command.add_argument(
        "method", metavar="METHOD", help="methods/NAME.py, or its NAME"
    )
    command.add_argument(
        "--encoder", metavar="KIND", help="encoder to check with (default: its own)"
    )
    command.add_argument(
        "--dims", type=int, choices=(2, 3), help="images or volumes (default: 3)"
    )
    command.set_defaults(handler=check)


def check(args: argparse.Namespace) -> Exit:
    """Judge every clause; 1 if one is broken, 2 if there is no such method."""
    roots, stem = _find(args)
    # Here: the contract needs torch, which no other command must wait for.
    from ..registry.methods import load_method
    from ..run.contract import Subject, clauses_of, judge

    kind = load_method(roots, stem)
    overrides = _overrides(args, kind)
    verdicts = []
    start = time.monotonic()
    for clause in clauses_of(kind.role):
        verdict = judge(clause, Subject(kind, overrides))
        verdicts.append(verdict)
        if not args.json:
            say(f"{verdict.code}  {verdict.state:<6}  {verdict.title}")
            if verdict.state != "kept":
                say(f"       {verdict.said}")
                say(f"       hint: {verdict.hint}")
    broken = [each for each in verdicts if each.state != "kept"]
    seconds = time.monotonic() - start
    if args.json:
        emit_json(
            {
                "method": stem,
                "seconds": seconds,
                "clauses": [asdict(v) for v in verdicts],
            }
        )
    else:
        result = f"{counted(len(broken), 'clause')} broken" if broken else "all kept"
        say(f"{stem}: {counted(len(verdicts), 'clause')}, {result}, {seconds:.0f} s")
    return Exit.FAILED if broken else Exit.DONE


def _find(args: argparse.Namespace) -> tuple[list[Path], str]:
    """Return the content roots and the name of the method that was asked for."""
    named = Path(args.method)
    if named.suffix == ".py":
        path = named.absolute()
        if not path.is_file():
            msg = f"no file {args.method}: name a file methods/NAME.py, or a method"
            raise UserError(msg)
        if path.parent.name != "methods":
            msg = (
                f"{args.method} lies in no folder named methods/, where methods belong"
            )
            raise UserError(msg)
        return [path.parent.parent], path.stem
    from ..registry.content import find_content

    content = find_content(args.benchmark)
    path = content.file("methods", args.method)
    if path.suffix != ".py":
        msg = (
            f"{args.method} is a variant ({path.name}), which has no code to check: check "
            "the method that it extends"
        )
        raise UserError(msg)
    return list(content.roots), path.stem


def _overrides(args: argparse.Namespace, kind: Any) -> dict[str, Any]:
    encoder = {}
    if args.encoder is not None:
        if args.encoder not in kind.encoders:
            from ..registry.explain import unknown

            raise UserError(unknown("encoder", args.encoder, kind.encoders))
        encoder["kind"] = args.encoder
    if args.dims is not None:
        if args.dims not in kind.dims:
            have = " and ".join(f"{each}-D" for each in kind.dims)
            msg = f"{kind.__name__} works on {have}, not on {args.dims}-D"
            raise UserError(msg)
        encoder["dims"] = args.dims
    return {"encoder": encoder} if encoder else {}
