"""`harness run`: plan, prepare the data, hand the jobs to a backend, report."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit, UserError
from .options import add_command, filters, open_matrix, open_store
from .output import counted, emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plan import Job, Plan
    from ..store import Store
    from ..submit.backend import Backend, Outcome

CLUSTERS = ("local", "slurm", "inline")
QUIET_S = 10.0  # between two lines of progress where the output is no terminal


def add_parser(commands: Any) -> None:
    """Add the command."""
    run = add_command(commands, "run", "compute what is missing, here or on SLURM")
    run.add_argument("--cluster", choices=CLUSTERS, default="local", help="where")
    run.add_argument(
        "--watch",
        action="store_true",
        help="slurm: wait for the jobs (others always do)",
    )
    run.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="local: processes (default: cores)",
    )
    run.add_argument(
        "--report",
        action="store_true",
        help="print the tables when the jobs have ended (not when they are queued)",
    )
    slurm = run.add_argument_group("resources of each job")
    slurm.add_argument("--partition", help="slurm: partition")
    slurm.add_argument("--account", help="slurm: account to charge")
    slurm.add_argument(
        "--time", help="slurm: limit, M, H:M:S or D-H (default 1 day, cells 4 hours)"
    )
    slurm.add_argument("--mem", help="slurm: memory, such as 16G")
    slurm.add_argument("--cpus", type=_positive, help="slurm: cores (default 1)")
    slurm.add_argument(
        "--gpus", type=int, help="slurm: GPUs of a job; local: GPUs that workers share"
    )
    run.set_defaults(handler=run_command)


def run_command(args: argparse.Namespace) -> Exit:
    """Compute what is missing; say what became of it; with --report print tables."""
    plan, store = _plan(args)
    backend = _backend(args, store)
    backend.check()  # before anything is written
    jobs = plan.jobs()
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


def _backend(args: argparse.Namespace, store: Store) -> Backend:
    chosen = [
        f"--{name}"
        for name in ("partition", "account", "time", "mem", "cpus")
        if getattr(args, name) is not None
    ]
    if args.cluster != "slurm" and chosen:
        message = (
            f"{chosen[0]} is for --cluster slurm, not for --cluster {args.cluster}"
        )
        raise UserError(message)
    if args.cluster != "local" and args.workers is not None:
        message = f"--workers is for --cluster local, not for --cluster {args.cluster}"
        raise UserError(message)
    if args.cluster == "inline":
        from ..submit.inline import Inline

        return Inline(store)
    if args.cluster == "local":
        from ..submit.local import Local

        return Local(store, workers=args.workers, gpus=args.gpus or 0)
    from ..submit.sbatch import Resources, minutes
    from ..submit.slurm import Slurm

    asked = {
        "partition": args.partition,
        "account": args.account,
        "time_min": minutes(args.time) if args.time is not None else None,
        "mem": args.mem,
        "cpus": args.cpus,
        "gpus": args.gpus,
    }
    return Slurm(
        store,
        resources={name: Resources.of(name, **asked) for name in ("pretrain", "cell")},
        wait=args.watch,
        next_commands=_next_commands(args),
    )


def _next_commands(args: argparse.Namespace) -> list[str]:
    words = ["-b", str(args.benchmark)]
    if args.results:
        words += ["--results", str(args.results)]
    for one in filters(args):
        words += ["--filter", one]
    tail = shlex.join(words)
    return [f"harness status {tail}", f"harness report {tail}"]


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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        message = f"{text} is below 1"
        raise argparse.ArgumentTypeError(message)
    return value
