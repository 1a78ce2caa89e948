"""One `sbatch` call through submitit."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..matrix.profiles import Profile
from ..schema.errors import UserError
from . import squeue
from .arrays import Batch
from .family import family_of
from .job import write_elements
from .records import Submission
from .resources import Resources, gpus_of

if TYPE_CHECKING:
    from .executor import ArrayExecutor

# Errors of a busy controller: the same call may work a moment later.
_BUSY = ("Socket timed out", "Unable to contact", "Connection refused", "temporarily")
# The person or the controller may not queue more: no fault, the rest comes later.
_FULL = ("job submit limit", "MaxSubmitJob", "unable to accept job", "AssocMaxSub")
_TRIES = 4
_PAUSE_S = 2.0  # before the second try; squared before the third, and so on
_SETTLE_S = 150.0  # sbatch gives up on a busy controller after about two minutes
_UNSAFE = re.compile(r"[%\\\x00-\x1f\x7f]")  # sbatch replaces these in file names
# Of the caller's settings for sbatch, those that a profile may leave open.
_OPEN = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
}


class QueueFull(UserError):
    """The site's limit of queued jobs is reached."""


@dataclass(frozen=True)
class Site:
    """How jobs start on this site.

    setup: shell lines before Python; python: the interpreter as the shell calls it;
    scratch: a folder on the node for copies of cached data; internet: whether nodes
    reach it; timeouts: how often a job at its time limit is requeued.
    """

    setup: tuple[str, ...] = ()
    python: str | None = None
    scratch: str | None = None
    internet: bool = True
    timeouts: int = 10

    @classmethod
    def of(cls, profile: Profile) -> Site:
        """Return what a profile says of the site."""
        rule = profile.retry
        return cls(
            profile.setup, profile.python, profile.scratch, profile.internet,
            *([rule.timeouts] if rule is not None else []),
        )  # fmt: skip


class Sbatch:
    """Submits arrays of one submission, whose id is the comment of every job.

    folder: for scripts, job files and logs, one folder per array; results: the results
    folder; runner: what computes nodes, as 'module:function'.
    """

    def __init__(
        self, folder: Path, comment: str, *, results: Path, runner: str, site: Site
    ) -> None:
        if _UNSAFE.search(str(folder)):
            message = (
                f"the results folder {str(results)!r} has a character that SLURM replaces "
                "in file names ('%' or '\\'): choose another with --results"
            )
            raise UserError(message)
        self._folder = folder
        self._comment = comment
        self._results = str(results)
        self._runner = runner
        self._site = site
        self._source = Path(__file__).resolve().parents[2]

    def script(self, batch: Batch, ids: Mapping[str, str]) -> str:
        """Return the script that `submit` would hand to sbatch. Writes nothing."""
        return self._executor(batch, ids).script()

    def submit(self, batch: Batch, ids: Mapping[str, str]) -> str:
        """Submit one array (a plain job for one element); return its SLURM id.

        ids: {node key: SLURM id of the job that publishes it}; other keys are published
        already. A busy controller is asked again; what it took in spite of its error is
        found by its comment. Raises QueueFull where no more jobs may be queued, else
        UserError with what sbatch said.
        """
        import submitit  # here: `harness --help` must not wait for it

        name = batch.array.name
        write_elements(self._folder / name, self.elements(batch))
        for attempt in range(1, _TRIES + 1):
            try:
                quiet = contextlib.redirect_stderr(io.StringIO())
                with _outside_of_slurm(batch.resources), quiet:
                    return self._executor(batch, ids).submit_array()
            except submitit.core.utils.FailedJobError as error:
                said = str(error)
                if (taken := self._taken(name)) is not None:
                    return taken
                refusal = _refusal(name, said)
                busy = any(word in said for word in _BUSY)
                if attempt == _TRIES or not busy or isinstance(refusal, QueueFull):
                    raise refusal from error
                time.sleep(_PAUSE_S**attempt)
        raise AssertionError  # the last attempt returns or raises

    def elements(self, batch: Batch) -> list[dict[str, Any]]:
        """Return the lines of an array's job file."""
        return [
            {
                "results": self._results,
                "runner": self._runner,
                "time_min": batch.resources.time_min,
                "signal_s": batch.resources.signal_s,
                "timeouts": self._site.timeouts,
                "jobs": [
                    {
                        "name": job.name,
                        "nodes": list(job.nodes),
                        "family": family_of(job),
                    }
                    for job in jobs
                ],
            }
            for jobs in batch.elements
        ]

    def _executor(self, batch: Batch, ids: Mapping[str, str]) -> ArrayExecutor:
        from .executor import ArrayExecutor

        folder = self._folder / batch.array.name
        executor = ArrayExecutor(folder, len(batch.elements), self._site.python)
        asked = batch.resources
        parameters = {
            **_requested(asked),
            "job_name": batch.array.name,
            "comment": self._comment,
            "stderr_to_stdout": True,
            "wckey": None,  # submitit's own, which sites with wckeys refuse
            "setup": self._setup(),
        }
        more: dict[str, Any] = {**dict(asked.options), "requeue": True}
        if asked.mem is not None:
            more["mem"] = f"{asked.mem}M"
        if asked.exclude:
            more["exclude"] = ",".join(asked.exclude)
        if dependency := dependencies(batch, ids):
            parameters["dependency"] = dependency
            # Else children of a failure wait for ever.
            more["kill-on-invalid-dep"] = "yes"
        executor.update_parameters(**parameters, additional_parameters=more)
        return executor

    def _setup(self) -> list[str]:
        lines = list(self._site.setup)
        if "site-packages" not in self._source.parts:
            path = shlex.quote(str(self._source))
            lines.append(f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}")
        if self._site.scratch is not None:
            lines.append(f'export MEDSSL_SCRATCH="{self._site.scratch}"')
        if not self._site.internet:
            lines.append("export HF_HUB_OFFLINE=1 MEDSSL_OFFLINE=1")
        return lines

    def _taken(self, name: str) -> str | None:
        """Return the id of an array that sbatch took although it reported an error."""
        for entry in squeue.ask() or ():
            if entry.comment == self._comment and entry.job_name == name:
                return entry.job_id.partition("_")[0]
        return None


def dependencies(batch: Batch, ids: Mapping[str, str]) -> str:
    """Return what an array waits for, as sbatch takes it; '' if for nothing.

    Parents of some elements only must have ended, well or badly: one that fails does not
    take the others' cells with it, and each element looks for its own inputs.
    """
    parts = []
    for kind, keys in (("afterok", batch.after), ("afterany", batch.after_any)):
        if found := sorted({ids[key] for key in keys if key in ids}):
            parts.append(f"{kind}:" + ":".join(found))
    return ",".join(parts)


def _requested(asked: Resources) -> dict[str, Any]:
    """Return a request as submitit's parameters."""
    # Since 22.05 srun no longer takes this from the job.
    srun = [f"--cpus-per-task={asked.cpus}"]
    parameters: dict[str, Any] = {
        "time": asked.time_min,
        "nodes": asked.nodes,
        "ntasks_per_node": asked.tasks,
        "cpus_per_task": asked.cpus,
        "array_parallelism": asked.parallel,
        "signal_delay_s": asked.signal_s,
    }
    if asked.nodes * asked.tasks > 1:
        srun.append("--kill-on-bad-exit=1")  # the others would wait for a dead rank
    for name in ("partition", "account", "qos", "constraint"):
        if (value := getattr(asked, name)) is not None:
            parameters[name] = value
    if gpus_of(asked.gpus):
        parameters["gpus_per_node"] = asked.gpus
    return {**parameters, "srun_args": srun}


def _refusal(name: str, said: str) -> UserError:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    reasons = [line for line in lines if "error" in line.lower()] or lines
    reason = reasons[-1].strip() if reasons else "no message"
    message = f"sbatch refused {name}: {reason}"
    full = any(word.lower() in said.lower() for word in _FULL)
    return QueueFull(message) if full else UserError(message)


@contextlib.contextmanager
def _outside_of_slurm(asked: Resources) -> Iterator[None]:
    """Hide the variables of a job that we may be in: they would shape the new jobs.

    So do the caller's settings for sbatch, which overrule what a script says, unless the
    profile leaves open what they say. SLURM_CONF says which controller to talk to.
    """
    prefixes = ("SLURM_", "SUBMITIT_", "SRUN_", "SBATCH_")
    kept = {"SLURM_CONF"}
    kept |= {name for name, field in _OPEN.items() if getattr(asked, field) is None}
    hidden = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(prefixes) and name not in kept
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


def cancel(ids: Sequence[str]) -> str | None:
    """Call scancel for jobs or elements of arrays; return what it said if it failed."""
    done = subprocess.run(
        ["scancel", *ids], capture_output=True, text=True, check=False
    )
    return done.stderr.strip() or "no message" if done.returncode else None


def settle(records: Sequence[Submission]) -> None:
    """Wait for an sbatch that a killed `run` of this machine has left behind.

    It would be missed by squeue now and add its jobs a moment later.
    """
    open_ids = [
        record.id
        for record in records
        if record.state == "intent" and record.backend == "slurm" and not record.alive
    ]
    end = time.monotonic() + _SETTLE_S
    while open_ids and time.monotonic() < end and _sbatch_of(open_ids):
        time.sleep(0.1)


def _sbatch_of(ids: Sequence[str]) -> bool:
    """Whether an sbatch of any of the submissions runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended while we looked
        # The second word where sbatch is a script, as the wrappers of sites are.
        sbatch = any(Path(word).name == "sbatch" for word in words[:2])
        if sbatch and any(name in word for name in ids for word in words):
            return True
    return False
