"""`harness new method` and `harness new benchmark`: files that work as they are."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ..schema.errors import Exit, UserError
from .options import add_command
from .output import emit_json, say

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "new", "write a template that works")
    kinds = command.add_subparsers(dest="what", metavar="WHAT", required=True)
    method = kinds.add_parser(
        "method", help="methods/NAME.py and tests/methods/test_NAME.py"
    )
    method.add_argument("name", metavar="NAME")
    method.set_defaults(handler=new_method)
    benchmark = kinds.add_parser(
        "benchmark", help="a folder that compares encoders on your own data"
    )
    benchmark.add_argument("folder", metavar="DIR", type=Path)
    benchmark.add_argument(
        "--task", metavar="CSV", type=Path,
        help="table of your cases with the columns image (image_ADC, image_T2, ... for "
        "several channels), label (paths of label maps) or target (classes), and patient "
        "and split where you have them; without it the folder has synthetic data",
    )  # fmt: skip
    benchmark.add_argument(
        "--weights", metavar="PRESET=FILE", action="append", default=[],
        help="a checkpoint to compare, such as smit_public=~/smit.pt (repeatable)",
    )  # fmt: skip
    benchmark.set_defaults(handler=new_benchmark)


def new_benchmark(args: argparse.Namespace) -> Exit:
    """Write the folder, or nothing; it has been validated then."""
    from ..matrix.starter import write_benchmark

    files = write_benchmark(args.folder, args.task, args.weights)
    return _written(files, f"cd {_shown(args.folder)} && harness plan --cost", args)


def new_method(args: argparse.Namespace) -> Exit:
    """Write both files, or neither."""
    from ..registry.content import find_content

    name = args.name
    if not _NAME.match(name) or keyword.iskeyword(name):
        msg = (
            f"{name!r} is no name for a method: small letters, digits and _, a letter "
            "first, 40 at most"
        )
        raise UserError(msg)
    content = find_content(args.benchmark)
    if name in content.names("methods"):
        where = content.file("methods", name)
        msg = f"method {name!r} exists: {where}; choose another name"
        raise UserError(msg)
    root = content.roots[0]
    files = {
        root / "methods" / f"{name}.py": "method.py.template",
        root / "tests" / "methods" / f"test_{name}.py": "test_method.py.template",
    }
    there = [path for path in files if path.exists()]
    if there:
        msg = f"{there[0]} exists: choose another name, or remove it"
        raise UserError(msg)
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template, name), encoding="utf-8")
    return _written(files, f"harness check methods/{name}.py", args)


def _written(files: Iterable[Path], following: str, args: argparse.Namespace) -> Exit:
    """Say which files were written, and the command that comes next."""
    if args.json:
        emit_json({"written": [str(path) for path in files]})
        return Exit.DONE
    for path in files:
        say(f"written: {_shown(path)}")
    say(f"next:    {following}")
    return Exit.DONE


def _filled(template: str, name: str) -> str:
    text = resources.files("harness.templates").joinpath(template).read_text("utf-8")
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("CLASS", title).replace("NAME", name)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
