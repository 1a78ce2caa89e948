"""`harness report`: tables and figures from what is published. Never imports torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..schema.errors import Exit, UserError
from .choices import add_choices, chosen
from .illustrate import illustrate
from .options import BENCHMARK, add_command, alone, filters, open_matrix, open_store
from .output import counted, emit_json, say
from .refresh import add_watch, watched

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..plan import Plan
    from ..report.catalogue import Shown
    from ..report.evidence import Evidence
    from ..report.options import Options
    from ..report.scope import Scope
    from ..store import Store

SUFFIX = {"md": "md", "tex": "tex", "csv": "csv", "json": "json", "term": "txt"}
PICTURES = ("png", "pdf", "svg")
WRITTEN = ("md", "tex", "csv", "json")  # of a report that names no table


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(
        commands, "report", "print and write tables of what is published so far"
    )
    command.add_argument(
        "--table",
        metavar="NAME",
        help="one table: dice, hd95, auc, kappa, f1, sens, spec, auc-per-class, "
        "dice-per-structure, dice-per-organ-group, gap (between label budgets), rank, "
        "tests (against the baseline), comparison (all pairs), intervals, gain (over "
        "the baseline), gap-percent, efficiency (how few labels are enough), trend (with "
        "the size of the corpus), worth (hours per point), shift-dice (a structure on "
        "two tasks), val-test (validation beside test), convergence, claims, cost, "
        "cost-by-task, params; without it all are written",
    )
    command.add_argument(
        "--figure",
        metavar="NAME",
        help="one figure, such as dice_by_budget, with its data; without it all that fit "
        "are written, 30 at most, and lie in the page",
    )
    command.add_argument(
        "--images",
        action="store_true",
        help="show segmentations of cases too: images of patients, where the data are",
    )
    command.add_argument(
        "--format",
        default=None,
        metavar="LIST",
        help="of tables: term, md, tex, csv, json; of figures: png, pdf, svg; several "
        "with commas; all but term write files",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write into (default: reports/)",
    )
    command.add_argument(
        "--published",
        action="store_true",
        help="report everything in the results folder by its labels, without a "
        "benchmark file (as where there is none)",
    )
    add_choices(command)
    add_watch(command)
    command.set_defaults(handler=lambda args: watched(args, report))


def report(args: argparse.Namespace) -> Exit:
    """Draw what the options ask for."""
    scope, store, plan = _scope(args)
    out = args.out if args.out is not None else scope.folder
    formats, pictures = _formats(args)
    evidence = _evidence(
        scope, store, chosen(args, plan.matrix.style if plan else None)
    )
    drawn, left_out = _draw(evidence, args.table)
    images: Literal["shown", "left out"] = "shown" if args.images else "left out"
    if args.figure is not None:
        written = illustrate(
            evidence, drawn, plan, store, out,
            formats=pictures or ("png",), images=images, only=args.figure,
        )  # fmt: skip
        _close(scope, plan, store, out, written)
        return Exit.DONE
    if args.json:
        from ..report.render import render

        emit_json({stem: json.loads(render(t, "json")) for stem, t in drawn.items()})
        return Exit.DONE
    written = []
    if "term" in formats:
        _print(drawn)
    for stem, table in drawn.items():
        written += _write(table, out / "tables" / stem, formats - {"term"})
    if args.table is None and pictures:
        written += illustrate(
            evidence, drawn, plan, store, out,
            formats=pictures, images=images, asked=_asked(args, plan),
        )  # fmt: skip
    for sentence in left_out:
        say(sentence)
    _close(scope, plan, store, out, written)
    return Exit.DONE


def _scope(args: argparse.Namespace) -> tuple[Scope, Store, Plan | None]:
    """Return what to report on: a benchmark file's cells, or all that is published."""
    from ..report.scope import scope_of_plan
    from ..store import Store

    if alone(args):
        from ..report.published import scope_of_store

        results = args.results if args.results is not None else Path("results")
        if not results.is_dir():
            msg = (
                f"there is no {args.benchmark} and no results folder {results}: name "
                "one of them with -b FILE or --results DIR"
            )
            raise UserError(msg)
        store = Store(results)
        return scope_of_store(store, filters(args)), store, None
    from ..plan import make_plan

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    plan = make_plan(matrix, store)
    _hint_published(plan, store)
    return scope_of_plan(plan), store, plan


def _asked(args: argparse.Namespace, plan: Plan | None) -> Matrix | None:
    """Return the benchmark file that is named beside --published, for its title."""
    if plan is not None or args.benchmark == BENCHMARK:
        return None
    from ..matrix import load

    return load(args.benchmark)


def _hint_published(plan: Plan, store: Store) -> None:
    """Say it where the file's cells are all missing while the folder holds others."""
    if plan.done or not plan.published:
        return
    others = sum(manifest.kind == "evaluate" for manifest in plan.published.values())
    if others and plan.missing_data:
        named = ", ".join(sorted(plan.missing_data))
        msg = (
            f"none of the {counted(len(plan.cells), 'cell')} of {plan.matrix.path} can be "
            f"found among the {counted(others, 'evaluation')} in {store.root}, since what "
            f"names them is missing ({named}): {next(iter(plan.missing_data.values()))}; "
            "or see those with harness report --published"
        )
        raise UserError(msg)
    if others:
        msg = (
            f"none of the {counted(len(plan.cells), 'cell')} of {plan.matrix.path} is "
            f"published, but {store.root} holds {counted(others, 'evaluation')} of other "
            "settings: start these cells with harness run, or see those with harness "
            "report --published"
        )
        raise UserError(msg)


def print_report(plan: Plan, store: Store) -> None:
    """Print and write every table of a plan into its default folder, after a run."""
    from ..report.options import Options
    from ..report.scope import scope_of_plan

    scope = scope_of_plan(plan)
    evidence = _evidence(scope, store, Options.of_style(plan.matrix.style))
    drawn, left_out = _draw(evidence)
    _print(drawn)
    written = illustrate(evidence, drawn, plan, store, scope.folder)
    for stem, table in drawn.items():
        written += _write(table, scope.folder / "tables" / stem, set(WRITTEN))
    for sentence in left_out:
        say(sentence)
    _close(scope, plan, store, scope.folder, written)


def _formats(args: argparse.Namespace) -> tuple[set[str], list[str]]:
    """Return the formats of tables and of figures."""
    if args.table is not None and args.figure is not None:
        msg = "--table and --figure each ask for one thing: give one of them"
        raise UserError(msg)
    if args.format is None:
        if args.table is not None:
            return {"term"}, []
        return {"term", *WRITTEN}, ["png"]
    asked = {part.strip() for part in args.format.split(",") if part.strip()}
    known = {*SUFFIX} if args.figure is None else set()
    known |= {*PICTURES} if args.table is None else set()
    if not asked or not asked <= known:
        msg = (
            f"--format {args.format}: expected some of {','.join(sorted(known))}, "
            "separated by commas"
        )
        raise UserError(msg)
    return asked & set(SUFFIX), sorted(asked & set(PICTURES))


def _evidence(scope: Scope, store: Store, options: Options) -> Evidence:
    from ..report.evidence import Evidence
    from ..report.reader import StoreReader

    return Evidence(scope, StoreReader.of(store), options)


def _draw(
    evidence: Evidence, name: str | None = None
) -> tuple[dict[str, Shown], list[str]]:
    """Return the tables by file stem, and a sentence for each that is left out."""
    from ..report.catalogue import NotShown, tables

    drawn: dict[str, Shown] = {}
    left_out: list[str] = []
    for stem, table in tables(evidence, name):
        if isinstance(table, NotShown):
            left_out.append(f"No table {table.name}: {table.reason}.")
        else:
            drawn[stem] = table
    return drawn, left_out


def _print(drawn: dict[str, Shown]) -> None:
    import shutil

    from ..report.render import render

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns if terminal else 100
    for table in drawn.values():
        style: Literal["plain", "bold"] = "bold" if terminal else "plain"
        say(render(table, "term", width=max(60, width), style=style))


def _write(table: Shown, stem: Path, formats: set[str]) -> list[Path]:
    from ..report.files import write_text
    from ..report.render import render

    written = []
    for fmt in sorted(formats):
        path = stem.with_name(f"{stem.name}.{SUFFIX[fmt]}")
        write_text(path, render(table, fmt))
        written.append(path)
    return written


def _close(
    scope: Scope, plan: Plan | None, store: Store, out: Path, written: list[Path]
) -> None:
    if plan is not None:
        from ..plan.changed import changed_sources

        for note in changed_sources(plan):
            say(f"Note: {note}.")
        missing = len(plan.todo)
        if missing:
            all_cells = f"{len(plan.cells):,}"
            say(f"{counted(missing, 'cell')} of {all_cells} not published yet.")
        if missing and plan.missing_data:
            named = ", ".join(sorted(plan.missing_data))
            say(f"What names the cells of {named} is missing here, so none is found:")
            for why in plan.missing_data.values():
                say(f"  {why}")
    else:
        say(f"{counted(len(scope.cells), 'published evaluation')}.")
    if written:
        say(f"Written: {counted(len(written), 'file')} under {out}")
    say(f"Results: {store.root}")
