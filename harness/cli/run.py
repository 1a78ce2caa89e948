"""`harness run`: plan, prepare the data, hand the jobs to a backend, report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from textwrap import indent
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit
from .backends import add_backend, make_backend, request
from .options import add_command, open_matrix, open_store
from .output import counted, emit_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..matrix.profiles import Profile, RetryRule
    from ..plan import Job, Plan
    from ..store import Store
    from ..submit.backend import Failure, Outcome, Preview
    from ..submit.retry import Command, Decision
    from .backends import Request

LISTED = 10  # reasons that are printed
QUIET_S = 10.0  # between two lines of progress where the output is no terminal


def add_parser(commands: Any) -> None:
    """Add the commands that submit: `run`, `resume` and `retry`."""
    run = add_command(commands, "run", "compute what is missing, here or on SLURM")
    resume = add_command(
        commands, "resume",
        "go on with a benchmark after whatever happened: submit what is missing, leave "
        "what is queued and what fails by its own fault",
    )  # fmt: skip
    retry = add_command(
        commands, "retry", "submit again what has failed, whatever the reason"
    )
    add_backend(run, "where (default: local)")
    for command in (resume, retry):
        add_backend(command, "where (default: where the last submission went)")
    for command in (run, resume, retry):
        command.add_argument(
            "--report",
            action="store_true",
            help="print the tables when the jobs have ended (not when they are queued)",
        )
        command.add_argument(
            "--until",
            choices=["pretrain"],
            help="submit the pretrainings alone; the rest another time",
        )
        command.add_argument(
            "--dry-run",
            action="store_true",
            help="print what would be submitted, sbatch scripts too; write nothing",
        )
        command.set_defaults(handler=run_command)


def run_command(args: argparse.Namespace) -> Exit:
    """Compute what is missing; say what became of it; with --report print tables."""
    plan, store = _plan(args)
    asked = request(args, store)
    profile = asked.resolve(plan.matrix.clusters)
    jobs = _jobs(plan, args)
    decision, rule = _decide(args.command, plan, store, profile, jobs)
    backend = make_backend(args, store, asked, profile, decision.grown(rule))
    if args.dry_run:
        return _show(backend.preview(decision.jobs), decision, args)
    backend.check()  # before anything is written
    if decision.jobs:
        _prepare(plan, decision.jobs, store)
        plan.write_specs(store, decision.jobs)
    outcome = backend.run(decision.jobs)
    outcome = replace(outcome, blocked=(*outcome.blocked, *decision.held))
    if args.watch and asked.cluster == "slurm":
        outcome = _again(args, asked, outcome)
    if args.json:
        emit_json(outcome.to_json())
    else:
        _say_outcome(outcome, jobs_planned=len(jobs), what=_what(plan, args))
    ended = not (outcome.queued or outcome.interrupted or args.json)
    if args.report and ended:
        _report(args)
    return outcome.exit


def _jobs(plan: Plan, args: argparse.Namespace) -> list[Job]:
    jobs = plan.jobs()
    return [job for job in jobs if args.until in (None, job.kind)]


def _again(args: argparse.Namespace, asked: Request, outcome: Outcome) -> Outcome:
    """Submit again what the machine failed, until nothing is left or to be gained."""
    from ..submit.backend import Outcome

    while outcome.failed and not outcome.interrupted:
        plan, store = _plan(args)
        profile = asked.resolve(plan.matrix.clusters)
        found, rule = _decide("resume", plan, store, profile, _jobs(plan, args))
        decision = found.of_machine()
        if not decision.jobs:
            break
        count = counted(len(decision.jobs), "job")
        sys.stderr.write(f"{count} that the machine failed or kept: submitted again\n")
        plan.write_specs(store, decision.jobs)
        backend = make_backend(args, store, asked, profile, decision.grown(rule))
        more = backend.run(decision.jobs)
        again = {job.name for job in decision.jobs}
        outcome = Outcome(
            done=(*outcome.done, *more.done),
            failed=(*_others(outcome.failed, again), *more.failed),
            blocked=(*_others(outcome.blocked, again), *more.blocked),
            queued=more.queued,
            interrupted=more.interrupted,
            left=more.left,
        )
    return outcome


def _others(failures: Sequence[Failure], names: set[str]) -> list[Failure]:
    return [failure for failure in failures if failure.name not in names]


def _decide(
    command: Command,
    plan: Plan,
    store: Store,
    profile: Profile,
    jobs: Sequence[Job],
) -> tuple[Decision, RetryRule]:
    """Return which jobs to submit, by the command and what earlier tries show."""
    from ..matrix.profiles import RetryRule
    from ..submit import squeue
    from ..submit.failures import CodeNow, History
    from ..submit.records import Submissions
    from ..submit.retry import decide

    rule = profile.retry or RetryRule()
    records = Submissions(store.root).all()
    on_slurm = any(record.backend == "slurm" for record in records)
    history = History(store, records, squeue.ask(records) if on_slurm else ())
    now = CodeNow(plan.matrix.content.roots)
    return decide(jobs, history, now, command=command, rule=rule), rule


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

    prepare_data(
        plan, jobs, store.root, workers=os.cpu_count() or 1,
        progress=show, warn=lambda line: sys.stderr.write(f"{line}\n"),
    )  # fmt: skip


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


def _show(preview: Preview, decision: Decision, args: argparse.Namespace) -> Exit:
    """Print what a run would do."""
    blocked = (*preview.blocked, *decision.held)
    if args.json:
        emit_json(replace(preview, blocked=blocked).to_json())
        return Exit.DONE
    for each in preview.planned:
        after = f", after {', '.join(each.after)}" if each.after else ""
        say(f"{each.name}: {counted(len(each.elements), 'job')}{after}")
        for index, labels in enumerate(each.elements):
            say(f"  [{index}] {'; then '.join(labels)}")
        if each.script:
            say(indent(each.script, "    | ", lambda _: True))
    for line in _by_reason("would not be submitted", blocked):
        say(line)
    if preview.queued:
        say(f"{counted(preview.queued, 'job')} queued already, left as they are")
    if preview.left:
        say(f"{counted(preview.left, 'job')} more than may be queued now")
    jobs = sum(len(labels) for each in preview.planned for labels in each.elements)
    say(f"dry run: nothing was written or submitted; {counted(jobs, 'job')} would be")
    return Exit.DONE


def _by_reason(what: str, failures: Sequence[Failure]) -> list[str]:
    """Return lines that tell each reason once, with the first jobs that it holds for."""
    reasons: dict[str, list[Failure]] = {}
    for one in failures:
        reasons.setdefault(one.reason, []).append(one)
    lines = [f"{counted(len(failures), 'job')} {what}:"] if failures else []
    for reason, found in list(reasons.items())[:LISTED]:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        log = f" (log: {found[0].log})" if found[0].log else ""
        lines.append(f"  {found[0].label}{more}: {reason}{log}")
    if len(reasons) > LISTED:
        left = sum(len(found) for found in list(reasons.values())[LISTED:])
        lines.append(f"  ... and {left} more: harness status lists them")
    return lines


def _what(plan: Plan, args: argparse.Namespace) -> str:
    if args.until == "pretrain":
        return f"all {counted(len(plan.pretrainings), 'pretraining')}"
    return f"all {len(plan.cells)} cells"


def _say_outcome(outcome: Outcome, *, jobs_planned: int, what: str) -> None:
    say = [f"{what} are done already"] if not jobs_planned else []
    if outcome.done:
        say.append(f"{len(outcome.done)} jobs done")
    say += _by_reason("failed", outcome.failed)
    say += _by_reason("blocked or left", outcome.blocked)
    if outcome.interrupted:
        say.append("interrupted: the same command goes on with what is left")
    elif outcome.failed:
        say.append("the same command tries again what failed")
    sys.stderr.write("".join(f"{line}\n" for line in say))
