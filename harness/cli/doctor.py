"""`harness doctor`: whether everything is here that a benchmark needs."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.errors import Exit, UserError
from ..schema.findings import Finding, Grade
from .options import add_command, open_matrix, open_store, results_folder
from .output import emit_json, say

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..matrix.profiles import Profile
    from ..plan import Plan

PACKAGES = ("torch", "monai", "numpy", "pyarrow", "duckdb", "submitit")
_TORCH = "import torch; print(torch.cuda.is_available(), torch.cuda.device_count())"
_TORCH_S = 120  # importing torch from a network disk may take long


def add_parser(commands: Any) -> None:
    """Add the command."""
    text = "check Python, GPU, data, results folder and SLURM; ends with a test job"
    command = add_command(commands, "doctor", text)
    command.add_argument(
        "--no-job", action="store_true", help="do not submit the test job of a minute"
    )
    command.add_argument("--profile", metavar="NAME", help="profile of the test job")
    command.set_defaults(handler=doctor)


def doctor(args: argparse.Namespace) -> Exit:
    """Print one line for each thing that was looked at; exit code 1 if any failed."""
    found: list[Finding] = []
    for finding in _examine(args):
        found.append(finding)
        if not args.json:  # at once: some of it takes long
            say(finding.to_text())
            sys.stdout.flush()
    failed = [one for one in found if one.grade == "fail"]
    warned = [one for one in found if one.grade == "warn"]
    if args.json:
        emit_json([one.to_json() for one in found])
    else:
        say(
            f"{len(found)} looked at, {len(warned)} to think about, {len(failed)} failed"
        )
    return Exit.FAILED if failed else Exit.DONE


def _examine(args: argparse.Namespace) -> Iterator[Finding]:
    from ..store.disk import examine
    from ..submit.doctor import slurm

    yield from _python()
    yield _gpu()
    matrix, plan, problem = _benchmark(args)
    if problem is not None:
        yield problem
    if matrix is not None:
        yield from _data(matrix, plan)
    root = _root(args, matrix)
    needed = plan.cost().bytes if plan is not None else 0
    yield from examine(root, needed_bytes=needed)
    left = len(plan.missing) // 2 if plan is not None else 0
    site = slurm(left)
    yield from site
    if site[0].name == "SLURM" and len(site) > 1 and not args.no_job:
        yield from _job(args, root, matrix)


def _root(args: argparse.Namespace, matrix: Matrix | None) -> Path:
    if matrix is not None:
        return results_folder(args, matrix)
    return (args.results or Path("results")).absolute()


def _python() -> Iterator[Finding]:
    yield Finding("Python", "ok", f"{platform.python_version()} at {sys.executable}")
    missing = []
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        said = f"{', '.join(missing)} not installed"
        yield Finding("packages", "fail", said, "`make setup` installs them")
    else:
        yield Finding("packages", "ok", ", ".join(versions))


def _gpu() -> Finding:
    """Compare what the driver has with what torch can use."""
    from ..provenance import driver_gpus

    cards = driver_gpus()
    if not cards:
        return Finding("GPU", "ok", "none on this machine; nodes may have some")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TORCH], capture_output=True, text=True,
            timeout=_TORCH_S, check=False,
        )  # fmt: skip
        usable = done.stdout.split()
    except subprocess.TimeoutExpired:
        usable = []
    listed = ", ".join(cards)
    if usable[:1] == ["True"]:
        return Finding("GPU", "ok", f"{listed}; torch uses {usable[1]}")
    advice = "install a torch that was built for this driver's CUDA"
    return Finding("GPU", "fail", f"{listed}, which torch cannot use", advice)


def _benchmark(
    args: argparse.Namespace,
) -> tuple[Matrix | None, Plan | None, Finding | None]:
    """Return the matrix and its plan, as far as there are any, or what is wrong."""
    from ..plan import make_plan

    if not args.benchmark.exists():
        said = f"{args.benchmark} is not here, so its data and needs are not looked at"
        return None, None, Finding("benchmark", "warn", said, "name one with -b FILE")
    try:
        matrix = open_matrix(args)
    except UserError as error:
        said = str(error).splitlines()[0]
        return None, None, Finding("benchmark", "fail", said, "`harness validate`")
    try:
        return matrix, make_plan(matrix, open_store(args, matrix)), None
    except UserError as error:
        said = str(error).splitlines()[0]
        return matrix, None, Finding("data", "fail", said, "`harness data check TASK`")


def _data(matrix: Matrix, plan: Plan | None) -> Iterator[Finding]:
    generated = all(task.spec.synthetic for task in matrix.tasks)
    for root in matrix.data_roots:
        if root.is_dir():
            yield Finding("data root", "ok", str(root))
        else:
            grade: Grade = "ok" if generated else "warn"
            advice = "" if generated else "set data_root, or MEDSSL_DATA"
            yield Finding("data root", grade, f"{root} does not exist", advice)
    for task, reason in (plan.missing_data if plan is not None else {}).items():
        advice = f"`harness data fetch {task}`, where its publisher allows it"
        yield Finding(f"data of {task}", "warn", reason, advice)


def _job(
    args: argparse.Namespace, root: Path, matrix: Matrix | None
) -> Iterator[Finding]:
    from ..submit.doctor import try_a_job

    try:
        profile = _profile(args, matrix)
        root.mkdir(parents=True, exist_ok=True)
    except UserError as error:
        yield Finding("profile", "fail", str(error).splitlines()[0], "see --profile")
        return
    except OSError:
        return  # said above already
    yield from try_a_job(
        root,
        profile,
        say=lambda text: print(text, file=sys.stderr),  # noqa: T201
    )


def _profile(args: argparse.Namespace, matrix: Matrix | None) -> Profile:
    from ..matrix.clusters import choose, read_personal

    shared = matrix.clusters if matrix is not None else {}
    return choose(shared, read_personal(), args.profile)
