"""`harness run`: plan, prepare the data, hand the jobs to a backend, report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from textwrap import indent
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .backends import add_backend, make_backend
from .options import add_command, open_matrix, open_store
from .output import counted, emit_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plan import Job, Plan
    from ..store import Store
    from ..submit.backend import Outcome, Preview

QUIET_S = 10.0  # between two lines of progress where the output is no terminal


def add_parser(commands: Any) -> None:
    """Add the command."""
    run = add_command(commands, "run", "compute what is missing, here or on SLURM")
    run.add_argument(
        "--report",
        action="store_true",
        help="print the tables when the jobs have ended (not when they are queued)",
    )
    add_backend(run)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be submitted, sbatch scripts included; write nothing",
    )
    run.set_defaults(handler=run_command)


def run_command(args: argparse.Namespace) -> Exit:
    """Compute what is missing; say what became of it; with --report print tables."""
    plan, store = _plan(args)
    backend = make_backend(args, store, plan.matrix.clusters)
    jobs = plan.jobs()
    if args.dry_run:
        return _show(backend.preview(jobs), args)
    backend.check()  # before anything is written
    if jobs:
        _prepare(plan, jobs, store)
        plan.write_specs(store, jobs)
    outcome = backend.run(jobs)
    if args.json:
        emit_json(outcome.to_json())
    else:
        _say_outcome(outcome, jobs_planned=len(jobs), cells=len(plan.cells))
    ended = not (outcome.queued or outcome.interrupted or args.json)
    if args.report and ended:
        _report(args)
    return outcome.exit


def _prepare(plan: Plan, jobs: Sequence[Job], store: Store) -> None:
    """Read, check and cache the data; a fault ends the run before it has begun."""
    from ..plan.prepare import prepare_data

    live = sys.stderr.isatty()
    shown = 0.0

    def show(task: str, done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done < total and now - shown < (0.2 if live else QUIET_S):
            return
        shown = now
        line = f"preparing {task}: {done} of {counted(total, 'case')}"
        end = "\n" if done == total or not live else ""
        sys.stderr.write(f"\r{line}{end}" if live else f"{line}\n")
        sys.stderr.flush()

    prepare_data(plan, jobs, store.root, workers=os.cpu_count() or 1, progress=show)


def _report(args: argparse.Namespace) -> None:
    """Print and write the tables; what is not there yet is no failure of the run."""
    from .report import print_report

    plan, store = _plan(args)
    if plan.done:
        print_report(plan, store)


def _plan(args: argparse.Namespace) -> tuple[Plan, Store]:
    # Here and not above: `harness --help` must not wait for pydantic and pyarrow.
    from ..plan import make_plan

    matrix = open_matrix(args)
    store = open_store(args, matrix)
    return make_plan(matrix, store), store


def _show(preview: Preview, args: argparse.Namespace) -> Exit:
    """Print what a run would do."""
    if args.json:
        emit_json(preview.to_json())
        return Exit.DONE
    for each in preview.planned:
        after = f", after {', '.join(each.after)}" if any(each.after) else ""
        say(f"{each.name}: {counted(len(each.elements), 'job')}{after}")
        for index, labels in enumerate(each.elements):
            say(f"  [{index}] {'; then '.join(labels)}")
        if each.script:
            say(indent(each.script, "    | ", lambda _: True))
    for failure in preview.blocked:
        say(f"blocked: {failure.label}: {failure.reason}")
    if preview.queued:
        say(f"{counted(preview.queued, 'job')} queued already, left as they are")
    if preview.left:
        say(f"{counted(preview.left, 'job')} more than may be queued now")
    jobs = sum(len(labels) for each in preview.planned for labels in each.elements)
    say(f"dry run: nothing was written or submitted; {counted(jobs, 'job')} would be")
    return Exit.DONE


def _say_outcome(outcome: Outcome, *, jobs_planned: int, cells: int) -> None:
    say = [f"all {cells} cells are done already"] if not jobs_planned else []
    if outcome.done:
        say.append(f"{len(outcome.done)} jobs done")
    for kind, failures in (("failed", outcome.failed), ("blocked", outcome.blocked)):
        if failures:
            say.append(f"{len(failures)} jobs {kind}:")
        for one in failures[:10]:
            log = f" (log: {one.log})" if one.log else ""
            say.append(f"  {one.label}: {one.reason}{log}")
        if len(failures) > 10:
            say.append(
                f"  ... and {len(failures) - 10} more: harness status lists them"
            )
    if outcome.interrupted:
        say.append("interrupted: the same command goes on with what is left")
    elif outcome.failed:
        say.append("the same command tries again what failed")
    sys.stderr.write("".join(f"{line}\n" for line in say))
