"""What a SLURM job starts with: its line of the array's job file, run by submitit.

    python -u -m harness.submit.job <results>/submissions/<id>/<array>

The folder holds jobs.jsonl, one element per line. submitit loads what it runs from a
pickle: that one is written here, into a private folder on the node that ends with the
job, so nothing is ever unpickled from the results folder, a requeued job starts from
the same line again, and what an interrupted job left half-written does not matter.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..schema.errors import Exit, UserError
from ..store import Store
from .family import Faults, in_words, own_fault

JOBS = "jobs.jsonl"


def write_elements(folder: Path, elements: Sequence[Mapping[str, Any]]) -> None:
    """Write the job file of an array; it must be there before sbatch is called."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(element, separators=(",", ":")) for element in elements]
    (folder / JOBS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_element(folder: Path, index: int) -> dict[str, Any]:
    """Return line `index` of the job file. Raises UserError where there is none."""
    path = folder / JOBS
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number == index:
                    element: dict[str, Any] = json.loads(line)
                    return element
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read ({error}): submit again with `harness resume`"
        raise UserError(msg) from None
    msg = f"{path} has no line {index}: submit again with `harness resume`"
    raise UserError(msg)


class Element:
    """The function that submitit runs: the jobs of one element, one after the other.

    A failing job does not keep the others of its element from running. When SLURM warns
    that the job must end, submitit calls `checkpoint`, which asks to be requeued: what
    is published by then is not computed again.
    """

    def __init__(self, folder: str, index: int) -> None:
        self._timeouts = Path(folder) / f"{index}.timeouts"
        self._faults = Faults(Path(folder).parent)
        self._started = time.monotonic()
        self._leaving = False

    def __call__(self, element: Mapping[str, Any]) -> None:
        """Run the jobs. Ends the process with the worst exit code that is not 0."""
        codes = [self._run(element, job) for job in element["jobs"]]
        bad = [code for code in codes if code]
        if bad:
            # Blocked only where nothing worse happened.
            failed = [code for code in bad if code != Exit.BLOCKED]
            raise SystemExit(failed[0] if failed else int(Exit.BLOCKED))

    def _run(self, element: Mapping[str, Any], job: Mapping[str, Any]) -> int:
        """Run one job, unless its family fails; return its exit code."""
        from ..run.worker import run_slurm_job

        store = Store(Path(element["results"]))
        family = job.get("family", ())  # of a file that an older version has written
        if alike := self._faults.stopped(family):
            return _refuse(store, job, alike)
        try:
            run_slurm_job(
                element["results"], job["name"], job["nodes"], element["runner"]
            )
        except SystemExit as end:
            if self._leaving:  # a signal ends this process, not the job's own end
                raise
            code = int(end.code or 0)
        else:
            return int(Exit.DONE)
        if code == Exit.FAILED and (fault := own_fault(store, job["nodes"])):
            self._faults.note(family, job["name"], fault)
        return code

    def checkpoint(self, element: Mapping[str, Any]) -> Any:
        """Return what a requeued job starts with; end here after too many time-outs."""
        import submitit

        from ..run.interrupts import progress

        self._leaving = True
        # A training saves first (harness.run.interrupts). What has got further may be
        # requeued for ever: a month of training at a day's limit needs thirty times.
        stuck = self._timed_out(element) and not progress.made
        if stuck and self._count() >= int(element["timeouts"]):
            sys.stderr.write(
                f"not requeued: {element['timeouts']} time-outs before that saved "
                "nothing either\n"
            )
            # Not an Exception, which a node would record as its own and go on after.
            raise SystemExit(int(Exit.FAILED))
        return submitit.helpers.DelayedSubmission(self, element)

    def _timed_out(self, element: Mapping[str, Any]) -> bool:
        """Whether the warning came because the time limit is near, not by preemption.

        SLURM may warn a minute early. submitit's own rule takes every interruption of a
        job under ten minutes for a time-out.
        """
        limit = 60.0 * int(element["time_min"])
        near = max(limit / 2, limit - int(element["signal_s"]) - 60)
        return time.monotonic() - self._started >= near

    def _count(self) -> int:
        """Return how many time-outs came before this one, and note this one."""
        with self._timeouts.open("a+", encoding="utf-8") as notes:
            notes.seek(0)
            before = len(notes.readlines())
            notes.write(f"{time.time():.0f}\n")
        return before


def _refuse(store: Store, job: Mapping[str, Any], alike: int) -> int:
    """Record that a job was not begun because others like it failed."""
    message = (
        f"not begun: {alike} jobs of {in_words(job['family'])} failed alike; mend that, "
        "then harness resume"
    )
    todo = [key for key in job["nodes"] if not store.is_done(key)]
    if todo and os.environ.get("SLURM_PROCID", "0") == "0":
        store.begin(todo[0], {"job": job["name"]}).fail("blocked", message)
    sys.stderr.write(f"{message}\n")
    return int(Exit.BLOCKED)


def main(arguments: Sequence[str]) -> None:
    """Run the element of the job that this process belongs to."""
    from submitit.core.submission import process_job
    from submitit.core.utils import DelayedSubmission
    from submitit.slurm.slurm import SlurmJobEnvironment

    [folder] = arguments
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    element = read_element(Path(folder), index)
    environment = SlurmJobEnvironment()
    with tempfile.TemporaryDirectory(prefix="medssl-job-") as private:
        work = DelayedSubmission(Element(folder, index), element)
        # Requeues are counted above; submitit's own count would stop at a default.
        work.set_timeout(int(element["time_min"]), 1_000_000)
        os.environ["SUBMITIT_FOLDER"] = private
        work.dump(environment.paths.submitted_pickle)
        process_job(private)


if __name__ == "__main__":
    # Under this name and not as __main__, so that the pickle refers to the module.
    from harness.submit import job

    job.main(sys.argv[1:])
