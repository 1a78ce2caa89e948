"""Options that choose where jobs run and what they ask for, and the backend they name."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from ..schema.errors import UserError
from .options import filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..matrix.profiles import Profile
    from ..store import Store
    from ..submit.backend import Backend
    from ..submit.slurm import Slurm

CLUSTERS = ("local", "slurm", "inline")
RESOURCES = ("partition", "account", "qos", "time", "mem", "cpus", "gpus")


def add_backend(command: argparse.ArgumentParser) -> None:
    """Add the options that choose a backend and what its jobs ask for."""
    command.add_argument("--cluster", choices=CLUSTERS, default="local", help="where")
    command.add_argument(
        "--watch",
        action="store_true",
        help="slurm: wait for the jobs (others always do)",
    )
    command.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="local: processes (default: cores)",
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
    slurm.add_argument("--cpus", type=_positive, help="slurm: cores (default 1)")
    slurm.add_argument(
        "--gpus", type=int, help="slurm: GPUs of a job; local: GPUs that workers share"
    )


def make_backend(
    args: argparse.Namespace, store: Store, profiles: Mapping[str, Profile]
) -> Backend:
    """Return the backend that the options name. Raises UserError.

    profiles: those of the benchmark file.
    """
    chosen = [
        f"--{name}"
        for name in ("profile", "canary", *(o for o in RESOURCES if o != "gpus"))
        if getattr(args, name) not in (None, False)
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
    return _slurm(args, store, profiles)


def _slurm(
    args: argparse.Namespace, store: Store, profiles: Mapping[str, Profile]
) -> Slurm:
    from ..matrix.clusters import choose, read_personal
    from ..submit.slurm import Slurm

    return Slurm(
        store,
        profile=choose(profiles, read_personal(), args.profile),
        chosen=_chosen(args),
        canary=args.canary,
        wait=args.watch,
        next_commands=_next_commands(args),
    )


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options ask for, checked as a profile is."""
    from pydantic import ValidationError

    from ..matrix.profiles import Asked

    given = {name: getattr(args, name) for name in RESOURCES}
    said = {name: value for name, value in given.items() if value is not None}
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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        message = f"{text} is below 1"
        raise argparse.ArgumentTypeError(message)
    return value
