"""The commands `run` and `status` of the command line."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit, UserError

if TYPE_CHECKING:
    from ..plan import Plan
    from ..store import Store
    from .backend import Backend, Outcome

CLUSTERS = ("local", "slurm", "inline")


def add_parsers(
    subparsers: Any, *, parents: Sequence[argparse.ArgumentParser] = ()
) -> None:
    """Add `run` and `status` to the sub-commands; `parents` hold the global options.

    Handlers are set as `handler`: they take the namespace, with `benchmark`, `results`,
    `filter` and `json` of the global options, and return an exit code.
    """
    run = subparsers.add_parser(
        "run", parents=list(parents), help="compute what is missing, here or on SLURM"
    )
    run.add_argument("--cluster", choices=CLUSTERS, default="local", help="where")
    run.add_argument(
        "--watch",
        action="store_true",
        help="slurm: wait for the jobs and show progress",
    )
    run.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="local: processes (default: cores)",
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
    status = subparsers.add_parser(
        "status", parents=list(parents), help="what is done, running, failed or missing"
    )
    status.add_argument(
        "--watch", action="store_true", help="show again until nothing runs or waits"
    )
    status.set_defaults(handler=status_command)


def run_command(args: argparse.Namespace) -> int:
    """Plan, hand the jobs to the chosen backend and report what became of them."""
    plan, store = _plan(args)
    backend = _backend(args, store)
    backend.check()  # before anything is written
    jobs = plan.jobs()
    if jobs:
        plan.write_specs(store, jobs)
    outcome = backend.run(jobs)
    if args.json:
        _print_json(outcome.to_json())
    else:
        _say_outcome(outcome, jobs_planned=len(jobs), cells=len(plan.cells))
    return int(outcome.exit)


def status_command(args: argparse.Namespace) -> int:
    """Print the state of every cell; with --watch again and again while jobs run."""
    import time

    from .status import status

    plan, store = _plan(args)
    while True:
        found = status(plan.cells, store)
        counts = found.counts()
        if args.json:
            _print_json(found.to_json())
        else:
            print(found.to_text())  # noqa: T201
        active = counts["running"] + counts["pending"] + sum(
            one.state in {"running", "pending"} for one in found.pretrainings
        )  # fmt: skip
        if not (args.watch and active) or args.json:
            return int(found.exit)
        try:
            time.sleep(40)  # one squeue a time: more often would burden the controller
        except KeyboardInterrupt:
            return int(Exit.INCOMPLETE)


def _plan(args: argparse.Namespace) -> tuple[Plan, Store]:
    # Here and not above: `harness --help` must not wait for pydantic and pyarrow.
    from ..matrix import load
    from ..plan import make_plan
    from ..store import Store

    matrix = load(Path(args.benchmark), filters=args.filter or ())
    store = Store(Path(args.results) if args.results else matrix.results)
    return make_plan(matrix, store), store


def _backend(args: argparse.Namespace, store: Store) -> Backend:
    chosen = [
        f"--{name}"
        for name in ("partition", "account", "time", "mem", "cpus")
        if getattr(args, name) is not None
    ]
    if args.watch:
        chosen.append("--watch")
    if args.cluster != "slurm" and chosen:
        message = (
            f"{chosen[0]} is for --cluster slurm, not for --cluster {args.cluster}"
        )
        raise UserError(message)
    if args.cluster != "local" and args.workers is not None:
        message = f"--workers is for --cluster local, not for --cluster {args.cluster}"
        raise UserError(message)
    if args.cluster == "inline":
        from .inline import Inline

        return Inline(store)
    if args.cluster == "local":
        from .local import Local

        return Local(store, workers=args.workers, gpus=args.gpus or 0)
    from .sbatch import Resources, minutes
    from .slurm import Slurm

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
    for one in args.filter or ():
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
    print("\n".join(say), file=sys.stderr)  # noqa: T201


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document))  # noqa: T201


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        message = f"{text} is below 1"
        raise argparse.ArgumentTypeError(message)
    return value
