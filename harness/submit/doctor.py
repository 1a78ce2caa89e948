"""What SLURM is like here, and whether a job of ours starts on it."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema.findings import Finding
from .probe import ANSWER, TOKEN
from .squeue import output

if TYPE_CHECKING:
    from ..matrix.profiles import Profile

WAIT_S = 300.0  # for a job of a minute; a busy cluster may take longer, which is said
_SLOW_S = 5.0
_LOOK_S = 2.0  # between two looks for the answer
_SETTING = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_TOLD = "preempt_send_user_signal"


def slurm(jobs: int = 0) -> list[Finding]:
    """Return findings about the controller; jobs: how many the plan would submit."""
    if shutil.which("sbatch") is None:
        return [
            Finding("SLURM", "ok", "not on this machine: --cluster local runs here")
        ]
    started = time.monotonic()
    text = output(["scontrol", "show", "config"])
    took = time.monotonic() - started
    if text is None:
        said = "installed, but its controller does not answer"
        advice = "ask the site, or try again: `scontrol ping` says more"
        return [Finding("SLURM", "fail", said, advice)]
    config = dict(_SETTING.findall(text))
    version = config.get("SLURM_VERSION", "unknown version")
    slow = took > _SLOW_S
    said = f"{version}, answers in {took:.1f} s"
    advice = "it is asked less often while it is so slow" if slow else ""
    return [
        Finding("SLURM", "warn" if slow else "ok", said, advice),
        _accounting(config),
        *_limits(config, jobs),
        _requeue(config),
        _preemption(config),
    ]


def _accounting(config: Mapping[str, str]) -> Finding:
    kind = config.get("AccountingStorageType", "(null)")
    if kind.endswith("none") or kind == "(null)":
        said = "off: states come from squeue and the results folder, which is enough"
        return Finding("accounting", "ok", said)
    if output(["sacct", "--noheader", "--parsable2", "--format=JobID"]) is None:
        advice = "states come from squeue and the results folder instead"
        return Finding("accounting", "warn", "on, but sacct does not answer", advice)
    return Finding("accounting", "ok", "on: why asks it about jobs that are long over")


def _limits(config: Mapping[str, str], jobs: int) -> Iterator[Finding]:
    size = config.get("MaxArraySize", "1001")
    yield Finding("MaxArraySize", "ok", f"{size}: larger arrays are split")
    count = config.get("MaxJobCount", "10000")
    few = count.isdigit() and jobs >= int(count)
    said = f"{count} jobs of everybody at once" + (
        f", {jobs:,} are left to do" if few else ""
    )
    advice = "what does not fit is submitted by `harness resume` later" if few else ""
    yield Finding("MaxJobCount", "warn" if few else "ok", said, advice)


def _requeue(config: Mapping[str, str]) -> Finding:
    said = "jobs ask for it themselves"
    if config.get("JobRequeue") == "0":
        return Finding("requeue", "ok", f"off by default: {said}")
    return Finding("requeue", "ok", f"on by default, and {said}")


def _preemption(config: Mapping[str, str]) -> Finding:
    kind = config.get("PreemptType", "preempt/none")
    if kind in {"preempt/none", "(null)"}:
        return Finding("preemption", "ok", "off")
    if _TOLD in config.get("SlurmctldParameters", ""):
        return Finding(
            "preemption", "ok", f"{kind}; jobs are warned and save their state"
        )
    said = f"{kind}; jobs are not warned ({_TOLD} is not set)"
    advice = "a preempted training goes on from its last timed checkpoint"
    return Finding("preemption", "warn", said, advice)


def try_a_job(
    results: Path,
    profile: Profile | None,
    *,
    wait_s: float = WAIT_S,
    say: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Submit a job of a minute as cells would be, and return what it saw.

    results: an existing folder, in which one of the doctor's own is made and removed.
    A job that has not started after `wait_s` is cancelled.
    """
    folder = results / f".doctor-{secrets.token_hex(6)}"
    folder.mkdir()
    token = secrets.token_hex(16)
    (folder / TOKEN).write_text(token)
    script = folder / "job.sh"
    script.write_text(_script(folder, profile))
    try:
        job_id, refusal = _sbatch(script, folder, profile)
        if job_id is None:
            advice = "a profile may have to name a partition or an account"
            return [
                Finding("test job", "fail", f"sbatch refused it: {refusal}", advice)
            ]
        say(f"test job {job_id} is submitted; waiting up to {wait_s:.0f} s for it")
        try:
            return _answer(folder, job_id, token, wait_s)
        finally:
            subprocess.run(["scancel", job_id], capture_output=True, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _script(folder: Path, profile: Profile | None) -> str:
    setup = profile.setup if profile is not None else ()
    python = profile.python if profile is not None else None
    source = Path(__file__).resolve().parents[2]
    lines = ["#!/bin/bash", *setup]
    if "site-packages" not in source.parts:
        path = shlex.quote(str(source))
        lines.append(f"export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}")
    command = python or shlex.quote(sys.executable)
    lines.append(f"exec {command} -m harness.submit.probe {shlex.quote(str(folder))}")
    return "\n".join(lines) + "\n"


def _sbatch(
    script: Path, folder: Path, profile: Profile | None
) -> tuple[str | None, str]:
    """Return the job's id, or None and what sbatch said."""
    command = ["sbatch", "--parsable", "--time=1", "--job-name=harness-doctor"]
    command += [f"--output={folder}/log"]
    if profile is not None:
        asked = profile.asked("cell")
        for name in ("partition", "account", "qos", "constraint"):
            if (value := getattr(asked, name)) is not None:
                command.append(f"--{name}={value}")
        if asked.gpus:
            command.append(f"--gpus-per-node={asked.gpus}")
    done = subprocess.run(
        [*command, str(script)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return None, lines[-1]
    return done.stdout.strip().partition(";")[0], ""


def _answer(folder: Path, job_id: str, token: str, wait_s: float) -> list[Finding]:
    end = time.monotonic() + wait_s
    asked = 0.0
    while time.monotonic() < end:
        found = _read(folder / ANSWER)
        if found is not None:
            return list(_seen(found, token))
        if time.monotonic() - asked > 10 * _LOOK_S:  # one squeue in a while
            asked = time.monotonic()
            if _is_gone(job_id):
                time.sleep(_LOOK_S)
                found = _read(folder / ANSWER)
                return list(_seen(found, token)) if found else [_without_answer(folder)]
        time.sleep(_LOOK_S)
    reason = output(["squeue", "--noheader", f"--jobs={job_id}", "--format=%T, %r"])
    said = f"not started after {wait_s:.0f} s ({(reason or 'unknown').strip()})"
    advice = "the cluster may be full: run doctor again later; the job is cancelled"
    return [Finding("test job", "warn", said, advice)]


def _read(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_gone(job_id: str) -> bool:
    said = output(["squeue", "--noheader", f"--jobs={job_id}", "--format=%T"])
    return said is not None and said.strip() in {"", "COMPLETED", "FAILED", "CANCELLED"}


def _without_answer(folder: Path) -> Finding:
    try:
        lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        said = "it ended, and nothing of it is seen here"
        advice = (
            "the nodes do not share this folder: choose one that they do (--results)"
        )
        return Finding("test job", "fail", said, advice)
    said = f"it failed: {lines[-1] if lines else 'without a word'}"
    advice = "see to the profile's `setup:` and `python:`"
    return Finding("test job", "fail", said, advice)


def _seen(found: Mapping[str, object], token: str) -> Iterator[Finding]:
    if found.get("token") != token:
        said = "it read another folder of this name"
        yield Finding("test job", "fail", said, "the nodes mount something else here")
        return
    gpus = found.get("gpus") or []
    names = ", ".join(str(name) for name in gpus) if isinstance(gpus, list) else ""
    said = (
        f"ran on {found['host']} with Python {found['python']}, sees the results folder, "
        f"GPUs: {names or 'none'}"
    )
    yield Finding("test job", "ok", said)
    apart = abs(time.time() - float(str(found["time"])))
    if apart > 10 * _LOOK_S + _SLOW_S:
        said = f"{found['host']} and this machine differ by about {apart:.0f} s"
        advice = "running attempts may look lost: have the clocks set (NTP)"
        yield Finding("clocks", "warn", said, advice)
