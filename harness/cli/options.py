"""Options that every command takes, before or after its name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..registry.content import Content
    from ..store import Store

BENCHMARK = Path("benchmark.yaml")  # where no other file is named


def global_options(*, top_level: bool) -> argparse.ArgumentParser:
    """Return a parent parser with the global options.

    Below the top level nothing has a default, so that a command's parser does not undo
    what stood before its name.
    """
    nothing = argparse.SUPPRESS
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("options of every command")

    def add(*names: str, default: Any, **settings: Any) -> None:
        group.add_argument(
            *names, default=default if top_level else nothing, **settings
        )

    add("-b", "--benchmark", type=Path, default=BENCHMARK, metavar="FILE",
        help="benchmark file (default: benchmark.yaml)")  # fmt: skip
    add("--results", type=Path, default=None, metavar="DIR",
        help="results folder (default: results/ beside methods/, tasks/)")  # fmt: skip
    name = "filter" if top_level else "filter_after"
    group.add_argument(
        "--filter",
        dest=name,
        action="append",
        metavar="CONDITIONS",
        default=[] if top_level else nothing,
        help="keep some cells: 'method=smit,task!=hippocampus'",
    )
    add("--json", action="store_true", default=False,
        help="print one JSON document and nothing else")  # fmt: skip
    return options


def add_command(commands: Any, name: str, description: str) -> argparse.ArgumentParser:
    """Add a sub-command that takes the global options too, and return its parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=description,
        description=description,
        parents=[global_options(top_level=False)],
    )
    return command


def filters(args: argparse.Namespace) -> list[str]:
    """Return all --filter values, from before and after the command's name."""
    return [*args.filter, *getattr(args, "filter_after", [])]


def alone(args: argparse.Namespace) -> bool:
    """Tell whether a results folder is to be reported without a benchmark file."""
    return bool(args.published) or (
        args.benchmark == BENCHMARK and not BENCHMARK.exists()
    )


def open_matrix(args: argparse.Namespace) -> Matrix:
    """Return the matrix that the options name. Raises UserError."""
    from ..matrix import load

    return load(args.benchmark, filters=filters(args))


def open_content(args: argparse.Namespace) -> Content:
    """Return the content of the benchmark file, or without one of the folder."""
    from ..registry import find_content
    from ..registry.yamlfile import read_yaml
    from ..schema.errors import UserError

    if args.benchmark.exists():
        extra = read_yaml(args.benchmark).data.get("content") or []
        extra = [extra] if isinstance(extra, str) else extra
        folder = args.benchmark.absolute().parent
        if isinstance(extra, list) and all(isinstance(each, str) for each in extra):
            return find_content(args.benchmark, [folder / Path(each) for each in extra])
    elif args.benchmark != BENCHMARK:
        msg = f"{args.benchmark} does not exist: name a benchmark file with -b FILE."
        raise UserError(msg)
    return find_content(args.benchmark)


def add_workers(part: argparse.ArgumentParser) -> None:
    """Add how many cases are read at once."""
    part.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="cases that are read at once (default: one for each core)",
    )  # fmt: skip


def results_folder(args: argparse.Namespace, matrix: Matrix) -> Path:
    """Return the results folder that the options name."""
    return args.results.absolute() if args.results is not None else matrix.results


def open_store(args: argparse.Namespace, matrix: Matrix) -> Store:
    """Return the store in the results folder. Raises UserError for a newer format."""
    from ..store import Store

    return Store(results_folder(args, matrix))


def open_results(args: argparse.Namespace) -> Store:
    """Return the store that --results names, else that of the benchmark file.

    For commands that need no matrix. Raises UserError where there is no such folder.
    """
    from ..schema.errors import UserError
    from ..store import Store

    if args.results is None:
        return open_store(args, open_matrix(args))
    if not args.results.is_dir():
        msg = f"{args.results} is no folder: name a results folder with --results DIR"
        raise UserError(msg)
    return Store(args.results.absolute())
