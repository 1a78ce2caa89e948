"""`harness report`: tables and figures from what is published. Never imports torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..schema.errors import Exit, UserError
from .options import add_command, open_matrix, open_store
from .output import counted, emit_json, say

if TYPE_CHECKING:
    from ..plan import Plan
    from ..report.table import Table
    from ..store import Store

SUFFIX = {"md": "md", "tex": "tex", "csv": "csv", "json": "json", "term": "txt"}
WRITTEN = ("md", "tex", "csv", "json")  # of a report that names no table


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands, "report", "print and write tables of what is published so far"
    )
    command.add_argument(
        "--table",
        metavar="NAME",
        help="dice, hd95, auc, kappa, or gap (between label budgets); without it, every "
        "metric of the benchmark is printed and written",
    )
    command.add_argument(
        "--format",
        default=None,
        metavar="LIST",
        help="term, md, tex, csv, json, several with commas; all but term write files",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write into (default: reports/)",
    )
    command.add_argument(
        "--undefined",
        action="append",
        default=[],
        metavar="METRIC=POLICY",
        help="what a missed structure or a false alarm counts as: hd95=diagonal or "
        "hd95=exclude, dice=exclude or dice=one",
    )
    command.set_defaults(handler=report)


def report(args: argparse.Namespace) -> Exit:
    """Draw what the options ask for."""
    from ..plan import make_plan

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    plan = make_plan(matrix, store)
    out = args.out if args.out is not None else default_folder(plan)
    formats = _formats(args)
    drawn = _draw(args, plan, store)
    if args.json:
        from ..report.render import render

        emit_json({stem: json.loads(render(t, "json")) for stem, t in drawn.items()})
        return Exit.DONE
    written = []
    if "term" in formats:
        _print(drawn)
    for stem, table in drawn.items():
        written += _write(table, out / "tables" / stem, formats - {"term"})
    if args.table is None and args.format is None:
        written += figures(drawn, out / "figures")
    _close(plan, store, out, written)
    return Exit.DONE


def print_report(plan: Plan, store: Store) -> None:
    """Print and write every table of a plan into its default folder, after a run."""
    from ..report.matrix_tables import tables

    drawn = dict(tables(plan, store))
    out = default_folder(plan)
    _print(drawn)
    written = figures(drawn, out / "figures")
    for stem, table in drawn.items():
        written += _write(table, out / "tables" / stem, set(WRITTEN))
    _close(plan, store, out, written)


def default_folder(plan: Plan) -> Path:
    """Return reports/<name of the benchmark file>, beside methods/ and tasks/."""
    return plan.matrix.content.roots[0] / "reports" / plan.matrix.path.stem


def _formats(args: argparse.Namespace) -> set[str]:
    if args.format is None:
        return {"term"} if args.table is not None else {"term", *WRITTEN}
    asked = {part.strip() for part in args.format.split(",") if part.strip()}
    if not asked or not asked <= set(SUFFIX):
        msg = (
            f"--format {args.format}: expected some of {','.join(SUFFIX)}, "
            "separated by commas"
        )
        raise UserError(msg)
    return asked


def _draw(args: argparse.Namespace, plan: Plan, store: Store) -> dict[str, Table]:
    from ..report.matrix_tables import tables

    undefined = {}
    for pair in args.undefined:
        metric, equals, policy = pair.partition("=")
        if not equals or metric not in {"dice", "hd95"}:
            msg = f"--undefined {pair}: expected dice=POLICY or hd95=POLICY"
            raise UserError(msg)
        undefined[metric] = policy
    return dict(tables(plan, store, args.table, undefined=undefined))


def _print(drawn: dict[str, Table]) -> None:
    import shutil

    from ..report.render import render

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    for table in drawn.values():
        style: Literal["plain", "bold"] = "bold" if terminal else "plain"
        say(render(table, "term", width=max(60, width), style=style))


def _write(table: Table, stem: Path, formats: set[str]) -> list[Path]:
    from ..report.render import render

    written = []
    for fmt in sorted(formats):
        path = stem.with_name(f"{stem.name}.{SUFFIX[fmt]}")
        write_text(path, render(table, fmt))
        written.append(path)
    return written


def write_text(path: Path, text: str) -> None:
    """Write a file of a report whole. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): choose a folder with --out"
        raise UserError(msg) from error


def figures(drawn: dict[str, Table], folder: Path) -> list[Path]:
    """Draw the label-budget curves of the tables of means."""
    from ..report.figures import budget_curves

    written: list[Path] = []
    for table in drawn.values():
        if table.kind != "scores":
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            written += budget_curves(table, folder)
        except OSError as error:
            msg = f"{folder} cannot be written ({error.strerror}): choose --out"
            raise UserError(msg) from error
    return written


def _close(plan: Plan, store: Store, out: Path, written: list[Path]) -> None:
    from ..plan.changed import changed_sources

    for note in changed_sources(plan):
        say(f"Note: {note}.")
    missing = len(plan.todo)
    if missing:
        say(f"{counted(missing, 'cell')} of {len(plan.cells):,} not published yet.")
    if written:
        say(f"Written: {counted(len(written), 'file')} under {out}")
    say(f"Results: {store.root}")
