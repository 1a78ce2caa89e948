"""How many cores this process was given: by SLURM, by affinity, by its cgroup."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def allowed_cores() -> int:
    """Return how many threads this process should compute with, at least 1.

    SLURM's word counts inside a job. Elsewhere the smaller of the affinity and the CPU
    quota of the cgroup, which containers set: more threads than that wait for each
    other.
    """
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit():
        return max(1, int(given))
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_cores(_CGROUPS)
    return max(1, cores if quota is None else min(cores, quota))


def cgroup_cores(root: Path) -> int | None:
    """Return the cores that a cgroup's quota is worth, rounded up, or None without one.

    root: where cgroups are mounted; version 2 (cpu.max), else version 1.
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None  # 'max' or -1: no limit
    return max(1, -(-int(quota) // int(period)))
