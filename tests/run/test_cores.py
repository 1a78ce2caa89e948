"""Threads follow what a job was given."""

import os

import pytest

from harness.run import cores
from harness.run.cores import allowed_cores, cgroup_cores


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_cgroup(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert cgroup_cores(tmp_path) == expected


def test_slurm_counts_first_then_the_smaller_of_affinity_and_quota(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    affinity = len(os.sched_getaffinity(0))
    assert allowed_cores() == affinity
    (tmp_path / "cpu.max").write_text("100000 100000")
    assert allowed_cores() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    assert allowed_cores() == 7
