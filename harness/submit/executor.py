"""submitit's executor, with one file per array where it writes a pickle per element.

submitit gives every element a pickled function; 10,000 of them take longer than SLURM
takes for the jobs, and lie in a folder that others can write to. Here the elements of
an array are lines of one JSON file, written before `sbatch`, and harness.submit.job
hands its line to submitit inside the job. The script, its options, `srun`, the call of
sbatch and the handling of signals stay submitit's.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import submitit

ENTRY = "harness.submit.job"


class ArrayExecutor(submitit.SlurmExecutor):  # type: ignore[misc]
    """Submits `count` elements of the job file in `folder` with one call of sbatch."""

    def __init__(self, folder: Path, count: int, python: str | None = None) -> None:
        super().__init__(folder, python=python)
        self._count = count

    @classmethod
    def affinity(cls) -> int:
        """Say that SLURM can be used: the backend has looked, and a dry run need not."""
        return 2

    @property
    def _submitit_command_str(self) -> str:
        return f"{self.python} -u -m {ENTRY} {shlex.quote(str(self.folder))}"

    def script(self) -> str:
        """Return the sbatch script."""
        if self._count > 1:
            self.parameters["map_count"] = self._count
        return str(self._make_submission_file_text(self._submitit_command_str, ""))

    def submit_array(self) -> str:
        """Call sbatch; return the job's id. Raises submitit's FailedJobError."""
        if self._count > 1:
            self.parameters["map_count"] = self._count
        return str(self._submit_command(self._submitit_command_str).job_id)
