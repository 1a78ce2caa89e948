"""`harness export` and `harness import`: finished nodes between machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit, UserError
from .options import add_command, filters, open_matrix, open_results, open_store
from .output import counted, emit_json, progress_line, say, size

if TYPE_CHECKING:
    from ..store import Store

KINDS = ("pretrain", "adapt", "evaluate", "analyse")
SHOWN = 20  # nodes that are named one by one


def add_parser(commands: Any) -> None:
    """Add both commands."""
    out = add_command(
        commands, "export", "write finished nodes into a tar file, for another machine"
    )
    out.add_argument("file", type=Path, metavar="FILE.tar", help=".gz compresses it")
    out.add_argument(
        "--kinds", metavar="LIST", default=",".join(KINDS),
        help="kinds of nodes, with commas: 'evaluate' has every score and no weights",
    )  # fmt: skip
    out.set_defaults(handler=export_command)
    into = add_command(
        commands, "import", "publish here the finished nodes of a tar file or folder"
    )
    into.add_argument("source", type=Path, metavar="FILE.tar|DIR")
    into.set_defaults(handler=import_command)


def export_command(args: argparse.Namespace) -> Exit:
    """Export the nodes of the benchmark, or all of a folder that --results names."""
    from ..store.transfer import export

    kinds = {part.strip() for part in args.kinds.split(",") if part.strip()}
    if not kinds or not kinds <= set(KINDS):
        msg = f"--kinds {args.kinds}: expected some of {','.join(KINDS)}"
        raise UserError(msg)
    store, keys = _chosen(args)
    done = store.done()
    keys = [key for key in keys if key in done and done[key].kind in kinds]
    if not keys:
        msg = f"nothing of that kind is published in {store.root}: nothing to export"
        raise UserError(msg)
    count = export(store, keys, args.file, progress_line("exported", "node"))
    if args.json:
        emit_json({"file": str(args.file), "nodes": count})
    else:
        say(f"{counted(count, 'node')} in {args.file}, {size(_size(args.file))}")
    return Exit.DONE


def _size(path: Path) -> int:
    return path.stat().st_size


def _chosen(args: argparse.Namespace) -> tuple[Store, list[str]]:
    """Return the store and the keys that the options choose, those needed first."""
    if args.results is not None and not filters(args) and not args.benchmark.exists():
        store = open_results(args)
        return store, list(store.done())
    from ..plan import make_plan

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    plan = make_plan(matrix, store)
    keys = [key for cell in plan.cells for key in (cell.adapt_key, cell.evaluate_key)]
    return store, [*plan.pretrainings, *keys]


def import_command(args: argparse.Namespace) -> Exit:
    """Import; nodes that cannot be trusted are named and the exit code is 1."""
    from ..store.sources import opened
    from ..store.transfer import import_nodes

    store = _target(args)
    with opened(args.source) as source:
        found = import_nodes(store, source, progress_line("imported", "node"))
    if args.json:
        emit_json(vars(found))
    else:
        for key, reason in list(found.refused.items())[:SHOWN]:
            say(f"{key[:16]} refused: {reason}")
        for key in found.conflicts[:SHOWN]:
            say(f"{key[:16]} was computed here as well, with other numbers: ours stay")
        say(
            f"{counted(len(found.added), 'node')} added, {len(found.there):,} there "
            f"already, {len(found.conflicts):,} in conflict, {len(found.refused):,} "
            "refused"
        )
    return Exit.FAILED if found.refused else Exit.DONE


def _target(args: argparse.Namespace) -> Store:
    """Return the store to import into; a folder that --results names may be new."""
    from ..store import Store

    if args.results is not None:
        return Store(args.results.absolute())
    return open_store(args, open_matrix(args))
