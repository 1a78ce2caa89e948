"""One `sbatch` call through submitit."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schema.errors import UserError
from . import squeue

# Errors of a busy controller: the same call may work a moment later.
_BUSY = ("Socket timed out", "Unable to contact", "Connection refused", "temporarily")
_TRIES = 4
_DAYS = re.compile(r"^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$")


@dataclass(frozen=True)
class Resources:
    """What one job asks for. None leaves a choice to the site.

    time_min: minutes; mem: as sbatch takes it ('16G'); gpus: on its node.
    """

    time_min: int = 240
    partition: str | None = None
    account: str | None = None
    mem: str | None = None
    cpus: int = 1
    gpus: int = 0
    parallel: int = 256  # elements of one array that may run at once

    @classmethod
    def of(cls, profile: str, **chosen: Any) -> Resources:
        """Return the defaults of a profile with what is not None in `chosen`."""
        base = {"time_min": 1440} if profile == "pretrain" else {}
        return cls(
            **{**base, **{name: v for name, v in chosen.items() if v is not None}}
        )


def minutes(text: str) -> int:
    """Read a time as sbatch does: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. Rounded up.

    >>> minutes("90"), minutes("1:30:00"), minutes("2-12"), minutes("0:30")
    (90, 90, 3600, 1)
    """
    found = _DAYS.match(text.strip())
    if found is None:
        message = f"{text!r} is not a time: expected minutes, H:M:S or D-H:M:S"
        raise UserError(message)
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:
        hours, mins, secs = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, mins, secs = parts
    else:
        hours, mins, secs = 0, parts[0], [*parts, 0][1]
    total = (int(days or 0) * 24 + hours) * 3600 + mins * 60 + secs
    if total <= 0:
        message = f"{text!r} is not a time: it must be above 0"
        raise UserError(message)
    return -(-total // 60)


class Sbatch:
    """Submits arrays of one submission, whose id is the comment of every job.

    folder: for scripts, pickles and logs, one folder per array; source: the folder that
    holds the package, for jobs of a checkout that is not installed.
    """

    def __init__(self, folder: Path, comment: str, *, source: Path) -> None:
        self._folder = folder
        self._comment = comment
        self._source = source

    def submit(
        self,
        name: str,
        payloads: Sequence[tuple[str, str, list[str], str]],
        resources: Resources,
        *,
        afterok: Sequence[str] = (),
    ) -> str:
        """Submit one array (a plain job for one payload); return its SLURM id.

        A busy controller is asked again; what it took in spite of its error is
        cancelled first, since submitit has put its files elsewhere by then. Raises
        UserError with what sbatch said.
        """
        import submitit  # here: `harness --help` must not wait for it

        for attempt in range(1, _TRIES + 1):
            try:
                return self._call(name, payloads, resources, afterok)
            except submitit.core.utils.FailedJobError as error:
                said = str(error)
                if attempt == _TRIES or not any(word in said for word in _BUSY):
                    lines = said.strip().splitlines() or ["no message"]
                    message = f"sbatch refused {name}: {lines[-1]}"
                    raise UserError(message) from error
                self._cancel_taken(name)
                time.sleep(2.0**attempt)
        raise AssertionError  # the last attempt returns or raises

    def _call(
        self,
        name: str,
        payloads: Sequence[tuple[str, str, list[str], str]],
        resources: Resources,
        afterok: Sequence[str],
    ) -> str:
        import submitit

        from ..run.worker import run_slurm_job

        executor = submitit.SlurmExecutor(folder=self._folder / name)
        executor.update_parameters(**self._parameters(name, resources, afterok))
        with _outside_of_slurm(), contextlib.redirect_stderr(io.StringIO()):
            with executor.batch():
                jobs = [
                    executor.submit(run_slurm_job, *payload) for payload in payloads
                ]
            return str(jobs[0].job_id).partition("_")[0]

    def _parameters(
        self, name: str, resources: Resources, afterok: Sequence[str]
    ) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if resources.mem is not None:
            more["mem"] = resources.mem
        parameters: dict[str, Any] = {
            "job_name": name,
            "comment": self._comment,
            "time": resources.time_min,
            "cpus_per_task": resources.cpus,
            # Since 22.05 srun no longer takes this from the job.
            "srun_args": [f"--cpus-per-task={resources.cpus}"],
            "array_parallelism": resources.parallel,
            "stderr_to_stdout": True,
        }
        if resources.partition is not None:
            parameters["partition"] = resources.partition
        if resources.account is not None:
            parameters["account"] = resources.account
        if resources.gpus:
            parameters["gpus_per_node"] = resources.gpus
        if afterok:
            parameters["dependency"] = "afterok:" + ":".join(afterok)
            more["kill-on-invalid-dep"] = (
                "yes"  # else children of a failure wait for ever
            )
        if "site-packages" not in self._source.parts:
            path = shlex.quote(str(self._source))
            parameters["setup"] = [
                f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}"
            ]
        return {**parameters, "additional_parameters": more}

    def _cancel_taken(self, name: str) -> None:
        ids = {
            entry.job_id.partition("_")[0]
            for entry in squeue.ask() or ()
            if entry.comment == self._comment and entry.job_name == name
        }
        if ids:
            subprocess.run(["scancel", *sorted(ids)], capture_output=True, check=False)


@contextlib.contextmanager
def _outside_of_slurm() -> Iterator[None]:
    """Hide the variables of a job that we may be in: they would shape the new jobs.

    SLURM_CONF says which controller to talk to and stays.
    """
    prefixes = ("SLURM_", "SUBMITIT_", "SRUN_")
    hidden = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(prefixes) and name != "SLURM_CONF"
    }
    try:
        yield
    finally:
        os.environ.update(hidden)
