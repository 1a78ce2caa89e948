"""Who made a result: code, packages, machine and job. Never part of a key."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import __version__

_GIT_TIMEOUT_S = 10
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SLURM = {
    "job": "SLURM_JOB_ID",
    "array_job": "SLURM_ARRAY_JOB_ID",
    "array_task": "SLURM_ARRAY_TASK_ID",
    "restart": "SLURM_RESTART_COUNT",
    "partition": "SLURM_JOB_PARTITION",
    "node": "SLURMD_NODENAME",
    "cluster": "SLURM_CLUSTER_NAME",
}


def collect(
    sources: Iterable[Path] = (),
    *,
    seeds: Mapping[str, int] | None = None,
    checkout: Path | None = None,
) -> dict[str, Any]:
    """Return the provenance of what this process is about to compute, ready for JSON.

    sources: files whose sha256 is kept, so that later changes can be flagged; seeds:
    {purpose: seed}; checkout: a folder of the git checkout, by default this package's.
    What cannot be found out is None. Git and the list of packages are asked once for
    each process.
    """
    return {
        **code_state(checkout),
        "sources": hash_sources(sources),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(_packages()),
        "host": socket.gethostname(),
        "cpu": _cpu(),
        "cpus": _usable_cpus(),
        "gpus": list(_gpus()),
        "threads": _threads(),
        "slurm": _slurm(os.environ),
        "seeds": dict(seeds or {}),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
    }


def code_state(checkout: Path | None = None) -> dict[str, Any]:
    """Return what of `collect` tells two states of the code apart: version and git."""
    git = dict(_git(checkout or Path(__file__).parent))
    return {"harness": __version__, "git": git}


def hash_sources(sources: Iterable[Path]) -> dict[str, str | None]:
    """Return {file name with its folder: sha256, or None if it cannot be read}.

    Of the path only the last folder is kept, so that checkouts in other places agree.
    """
    found: dict[str, str | None] = {}
    for path in sources:
        name = f"{path.absolute().parent.name}/{path.name}"
        try:
            found[name] = sha256(path.read_bytes()).hexdigest()
        except OSError:
            found[name] = None
    return found


@cache
def _git(folder: Path) -> Mapping[str, Any]:
    """Return commit, dirty and the sha256 of the changes to tracked files."""
    found: dict[str, Any] = {"commit": None, "dirty": None, "diff_sha256": None}
    commit = _git_output(folder, "rev-parse", "--verify", "HEAD")
    index = _git_output(folder, "rev-parse", "--git-path", "index")
    if commit is None or index is None:
        return found
    found["commit"] = commit.decode().strip()
    with tempfile.TemporaryDirectory() as scratch:
        # git notes what it looked at in its index. It gets a copy, since many workers
        # ask at once while somebody may be working in the checkout.
        copy = Path(scratch, "index")
        try:
            shutil.copy2(folder / os.fsdecode(index.rstrip(b"\n")), copy)
        except OSError:
            return found
        status = _git_output(folder, "status", "--porcelain", index=copy)
        diff = _git_output(
            folder, "diff", "--binary", "--no-ext-diff", "HEAD", index=copy
        )
    if status is not None:
        found["dirty"] = bool(status)
    if diff:
        found["diff_sha256"] = sha256(diff).hexdigest()
    return found


def _git_output(
    folder: Path, *arguments: str, index: Path | None = None
) -> bytes | None:
    program = shutil.which("git")
    if program is None:
        return None
    environment = dict(os.environ)
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    try:
        done = subprocess.run(
            [program, "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def _packages() -> Mapping[str, str]:
    """Return {name: version} of the installed distributions, sorted by name."""
    from importlib.metadata import distributions  # 20 ms that planning can do without

    found: dict[str, str] = {}
    for distribution in distributions():
        metadata = distribution.metadata
        name = metadata["Name"] if metadata is not None else None
        if name:  # a half-removed distribution has none
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), metadata["Version"])
    return dict(sorted(found.items()))


@cache
def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1].strip() if model else platform.machine()


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpus() -> list[str]:
    """Return the GPUs' names: those that an imported torch sees, else the driver's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        count = torch.cuda.device_count()
        return [torch.cuda.get_device_name(index) for index in range(count)]
    return list(driver_gpus())


@cache
def driver_gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that NVIDIA's driver has, whoever may use them."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            model = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if model:
            names.append(model[1].strip())
    return tuple(names)


def _threads() -> dict[str, int | str | None]:
    found: dict[str, int | str | None] = {
        name: os.environ.get(name) for name in _THREADS
    }
    torch = sys.modules.get("torch")
    found["torch"] = torch.get_num_threads() if torch is not None else None
    return found


def _slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ids and attempt of the SLURM job this runs in; empty outside SLURM."""
    return {
        name: environment[variable]
        for name, variable in _SLURM.items()
        if variable in environment
    }
