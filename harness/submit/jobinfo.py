"""What SLURM still knows of one job: from scontrol, and from sacct where there is one."""

from __future__ import annotations

import re
import time

from .squeue import output

_FIELDS = ("JobState", "Reason", "ExitCode", "TimeLimit", "NodeList", "Restarts")
_SACCT = ("State", "ExitCode", "Elapsed", "Timelimit", "MaxRSS", "NodeList")
_ID = re.compile(r"\d+(_\d+)?")


def of_job(job_id: str, submitted: float) -> dict[str, str]:
    """Return fields of a job that are known; {} where SLURM has forgotten it.

    job_id: such as '7' or '7_3'; submitted: seconds since 1970, since sacct by itself
    looks no further back than midnight.
    """
    if not _ID.fullmatch(job_id):
        return {}
    return _scontrol(job_id) or _sacct(job_id, submitted)


def _scontrol(job_id: str) -> dict[str, str]:
    text = output(["scontrol", "--oneliner", "show", "job", job_id]) or ""
    pairs = dict(re.findall(r"(\w+)=(\S+)", text))
    return {
        name: pairs[name] for name in _FIELDS if pairs.get(name, "(null)") != "(null)"
    }


def _sacct(job_id: str, submitted: float) -> dict[str, str]:
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(submitted - 86_400))
    text = output(
        ["sacct", "--noheader", "--parsable2", f"--jobs={job_id}",
         f"--starttime={start}", f"--format={','.join(_SACCT)}"]
    )  # fmt: skip
    rows = [line.split("|") for line in (text or "").splitlines()]
    rows = [row for row in rows if len(row) == len(_SACCT)]
    if not rows:
        return {}
    found = {name: value for name, value in zip(_SACCT, rows[0], strict=True) if value}
    for row in rows[1:]:  # memory stands in the rows of the job's steps
        if row[_SACCT.index("MaxRSS")]:
            found["MaxRSS"] = row[_SACCT.index("MaxRSS")]
    return found
