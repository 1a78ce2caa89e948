"""Options that choose where jobs run and what they ask for, and the backend they name."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..schema.errors import UserError
from .options import filters

if TYPE_CHECKING:
    from ..matrix.profiles import Profile
    from ..store import Store
    from ..submit.backend import Backend
    from ..submit.records import Submission
    from ..submit.slurm import Grow

CLUSTERS = ("local", "slurm", "inline")
RESOURCES = ("partition", "account", "qos", "time", "mem", "cpus", "gpus")


def add_backend(command: argparse.ArgumentParser, where: str) -> None:
    """Add the options that choose a backend and what its jobs ask for.

    where: what --cluster means, with its default.
    """
    command.add_argument("--cluster", choices=CLUSTERS, help=where)
    command.add_argument(
        "--watch",
        action="store_true",
        help="slurm: wait for the jobs (others always do)",
    )
    command.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="local: processes (default: one per core, or per place on a GPU)",
    )
    command.add_argument(
        "--per-gpu",
        type=positive,
        metavar="K",
        help="local: cells that may use a GPU of --gpus at once (default 1)",
    )
    command.add_argument(
        "--canary",
        action="store_true",
        help="slurm: one cell of each method, task and request first; the rest waits",
    )
    _add_resources(command)


def _add_resources(command: argparse.ArgumentParser) -> None:
    """Add the options that overrule a profile."""
    slurm = command.add_argument_group("resources of each job (overrule the profile)")
    slurm.add_argument(
        "--profile",
        metavar="NAME",
        help="slurm: an entry under 'clusters:' of the benchmark file or your own file",
    )
    slurm.add_argument("--partition", help="slurm: partition")
    slurm.add_argument("--account", help="slurm: account to charge")
    slurm.add_argument("--qos", help="slurm: quality of service")
    slurm.add_argument(
        "--time", help="slurm: limit, M, H:M:S or D-H (default 1 day, cells 4 hours)"
    )
    slurm.add_argument("--mem", help="slurm: memory of a node, such as 16G")
    slurm.add_argument("--cpus", type=positive, help="slurm: cores (default 1)")
    slurm.add_argument(
        "--gpus", type=int, help="slurm: GPUs of a job; local: GPUs that workers share"
    )


@dataclass(frozen=True)
class Request:
    """Where jobs run and what they ask for.

    profile: its name, None for the one that is taken without a name; chosen: fields that
    the command line overrules.
    """

    cluster: str
    profile: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, profiles: Mapping[str, Profile]) -> Profile:
        """Return the profile; profiles: those of the benchmark file. UserError."""
        from ..matrix.clusters import choose, read_personal
        from ..matrix.profiles import Profile

        if self.cluster != "slurm":
            return Profile()
        return choose(profiles, read_personal(), self.profile)


def request(args: argparse.Namespace, store: Store) -> Request:
    """Return what the options ask for. Raises UserError.

    `resume` and `retry` go on where, and with what, the last submission went.
    """
    last = None if args.command == "run" else _last(store)
    cluster = args.cluster or (last.backend if last else "local")
    given = [
        f"--{name}"
        for name in ("profile", "canary", *(o for o in RESOURCES if o != "gpus"))
        if getattr(args, name) not in (None, False)
    ]
    if cluster != "slurm" and given:
        message = f"{given[0]} is for --cluster slurm, not for --cluster {cluster}"
        raise UserError(message)
    for name in ("workers", "per_gpu"):
        if cluster != "local" and getattr(args, name) is not None:
            option = f"--{name.replace('_', '-')}"
            message = f"{option} is for --cluster local, not for --cluster {cluster}"
            raise UserError(message)
    if cluster != "slurm":
        return Request(cluster)
    before = last.asked if last is not None and last.backend == "slurm" else {}
    earlier = before.get("chosen") or {}
    return Request(
        cluster,
        args.profile or before.get("profile"),
        {**_checked(earlier), **_chosen(args)},
    )


def make_backend(
    args: argparse.Namespace,
    store: Store,
    asked: Request,
    profile: Profile,
    grow: Grow,
) -> Backend:
    """Return the backend of a request; grow: what earlier failures have taught."""
    if asked.cluster == "inline":
        from ..submit.inline import Inline

        return Inline(store)
    if asked.cluster == "local":
        from ..submit.local import Local

        return Local(
            store, workers=args.workers, gpus=args.gpus or 0, per_gpu=args.per_gpu or 1
        )
    from ..submit.slurm import Slurm

    return Slurm(
        store,
        profile=profile,
        chosen=asked.chosen,
        grow=grow,
        canary=args.canary,
        about={
            "command": args.command,
            "asked": {"profile": asked.profile, "chosen": dict(asked.chosen)},
        },
        wait=args.watch,
        next_commands=_next_commands(args),
    )


def _last(store: Store) -> Submission | None:
    from ..submit.records import Submissions

    records = Submissions(store.root).all()
    return records[-1] if records else None


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in RESOURCES}
    return _checked({k: value for k, value in given.items() if value is not None})


def _checked(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked for, checked and in the units of a profile."""
    from pydantic import ValidationError

    from ..matrix.profiles import Asked

    try:
        return Asked.model_validate(said).model_dump(include=set(said))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}"
        raise UserError(message) from None


def _next_commands(args: argparse.Namespace) -> list[str]:
    words = ["-b", str(args.benchmark)]
    if args.results:
        words += ["--results", str(args.results)]
    for one in filters(args):
        words += ["--filter", one]
    tail = shlex.join(words)
    return [f"harness status {tail}", f"harness report {tail}"]


def positive(text: str) -> int:
    """Read a number from 1 on, as an argument type."""
    value = int(text)
    if value < 1:
        message = f"{text} is below 1"
        raise argparse.ArgumentTypeError(message)
    return value
