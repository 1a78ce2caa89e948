"""What doctor says of SLURM, from what SLURM's commands say."""

import json
import os
import sys

import pytest

from harness.matrix.profiles import Profile
from harness.submit import doctor

CONFIG = {
    "SLURM_VERSION": "22.05.8", "AccountingStorageType": "accounting_storage/none",
    "MaxArraySize": "1001", "MaxJobCount": "10000", "JobRequeue": "1",
    "PreemptType": "preempt/none", "SlurmctldParameters": "(null)",
}  # fmt: skip


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Programs of our own on PATH; tools(name, shell lines)."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name, *lines):
        script = folder / name
        script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        script.chmod(0o755)

    return make


@pytest.fixture
def site(tools):
    """A SLURM whose configuration differs in some settings."""

    def make(**changed):
        lines = [
            f"{name:<25} = {value}" for name, value in {**CONFIG, **changed}.items()
        ]
        tools("scontrol", "cat <<'END'", "Configuration data", *lines, "END")
        tools("sbatch", "exit 1")
        tools("sacct", "exit 0")

    return make


def said(name, jobs=0):
    (found,) = [one for one in doctor.slurm(jobs) if one.name == name]
    return found.grade, f"{found.said} {found.advice}"


def test_a_machine_without_slurm_is_fine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = doctor.slurm()
    assert (found.grade, found.said) == (
        "ok", "not on this machine: --cluster local runs here"
    )  # fmt: skip


def test_a_silent_controller_fails(tools):
    tools("sbatch", "exit 1")
    tools("scontrol", "exit 1")
    (found,) = doctor.slurm()
    assert found.grade == "fail"
    assert "its controller does not answer" in found.said


def test_a_plain_site_is_ok(site):
    site()
    found = doctor.slurm(100)
    assert {one.grade for one in found} == {"ok"}
    assert found[0].said.startswith("22.05.8, answers in")


@pytest.mark.parametrize(
    ("changed", "jobs", "name", "grade", "words"),
    [
        ({}, 0, "accounting", "ok", "off: states come from squeue"),
        ({"AccountingStorageType": "accounting_storage/slurmdbd"}, 0, "accounting", "ok",
         "on: why asks it"),
        ({"MaxArraySize": "50"}, 0, "MaxArraySize", "ok", "50: larger arrays are split"),
        ({}, 20_000, "MaxJobCount", "warn", "20,000 are left to do"),
        ({"JobRequeue": "0"}, 0, "requeue", "ok", "off by default: jobs ask for it"),
        ({"PreemptType": "preempt/partition_prio"}, 0, "preemption", "warn",
         "jobs are not warned (preempt_send_user_signal is not set) a preempted training"),
        ({"PreemptType": "preempt/qos", "SlurmctldParameters": "preempt_send_user_signal"},
         0, "preemption", "ok", "jobs are warned"),
    ],
)  # fmt: skip
def test_what_a_site_has_set_is_said(site, changed, jobs, name, grade, words):
    site(**changed)
    found = said(name, jobs)
    assert found[0] == grade
    assert words in found[1]


def test_accounting_that_does_not_answer_is_a_warning(site, tools):
    site(AccountingStorageType="accounting_storage/slurmdbd")
    tools("sacct", "exit 1")
    assert said("accounting")[0] == "warn"


@pytest.fixture
def job(tools, tmp_path, monkeypatch):
    """A SLURM that runs a job at once, in the background; `job(run)` tries one."""
    monkeypatch.setattr(doctor, "_LOOK_S", 0.05)
    results = tmp_path / "results"
    results.mkdir()
    tools("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    tools("squeue", "echo")

    def attempt(*run, profile=None, wait_s=20.0):
        tools("sbatch", f'echo "$@" >> {tmp_path}/asked', 'for script; do :; done', *run,
              "echo '77;cluster'")  # fmt: skip
        found = doctor.try_a_job(results, profile, wait_s=wait_s)
        assert list(results.iterdir()) == []
        return found

    attempt.asked = tmp_path / "asked"
    attempt.cancelled = tmp_path / "cancelled"
    return attempt


def test_a_job_that_runs_says_what_it_saw(job):
    (found,) = job('sh "$script" &')
    assert found.grade == "ok"
    assert (
        f"with Python {sys.version.split()[0]}, sees the results folder" in found.said
    )
    assert job.cancelled.read_text() == "77\n"


def test_the_job_is_submitted_as_the_profile_says(job):
    profile = Profile.model_validate(
        {"partition": "gpu", "account": "lab", "gpus": 1, "setup": ["export MARK=1"]}
    )
    (found,) = job('grep -q MARK "$script" && sh "$script" &', profile=profile)
    assert found.grade == "ok"
    asked = job.asked.read_text()
    for word in ("--partition=gpu", "--account=lab", "--gpus-per-node=1", "--time=1"):
        assert word in asked


def test_a_refusal_is_said(job, tools):
    tools("sbatch", "echo 'sbatch: error: invalid account' >&2", "exit 1")
    (found,) = doctor.try_a_job(job.asked.parent / "results", None, wait_s=1.0)
    assert found.grade == "fail"
    assert "sbatch refused it: sbatch: error: invalid account" in found.said


def test_a_job_that_fails_shows_its_last_line(job):
    log = '"$(dirname "$script")/log"'
    (found,) = job(f"echo 'module: command not found' > {log}")
    assert found.grade == "fail"
    assert found.said == "it failed: module: command not found"


def test_a_node_that_sees_another_disk_is_found(job):
    (found,) = job("true")
    assert found.grade == "fail"
    assert "nothing of it is seen here" in found.said


def test_a_token_of_another_folder_is_not_believed(job):
    answer = json.dumps({"token": "another"})
    (found,) = job(f"""echo '{answer}' > "$(dirname "$script")/answer.json" """)
    assert found.grade == "fail"
    assert "another folder of this name" in found.said


def test_a_job_that_waits_is_cancelled_and_no_failure(job, tools):
    tools("squeue", "echo 'PENDING, Priority'")
    (found,) = job("true", wait_s=0.3)
    assert found.grade == "warn"
    assert found.said == "not started after 0 s (PENDING, Priority)"
    assert job.cancelled.read_text() == "77\n"
    assert os.environ["PATH"]
