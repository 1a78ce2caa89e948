"""What is handed to sbatch, word for word, by a stand-in that only takes note."""

import json
import os
import shlex
import subprocess

import pytest

from harness.matrix.profiles import Profile
from harness.schema.errors import UserError
from harness.submit import sbatch as calls
from harness.submit.arrays import batches
from harness.submit.job import Element, read_element, write_elements
from harness.submit.records import Submission
from harness.submit.resources import by_job
from harness.submit.sbatch import QueueFull, Sbatch, Site, settle


def batch(workshop, count=2, **body):
    for number in range(count):
        workshop.cell(f"c{number}")
    asked = by_job(Profile.model_validate(body), {})
    return next(batches(workshop.jobs, asked, largest=1000))


def submitter(workshop, site=None, root=None):
    root = root or workshop.store.root
    return Sbatch(
        root / "submissions" / "S1", "S1", results=root, runner="r:f",
        site=site or Site(),
    )  # fmt: skip


def options(script):
    """{option: value} of the #SBATCH lines, split as a shell would."""
    found = {}
    for line in script.splitlines():
        if line.startswith("#SBATCH"):
            [_, word] = shlex.split(line, comments=False)
            name, _, value = word.removeprefix("--").partition("=")
            found[name] = value
    return found


def test_everything_that_a_profile_says_stands_in_the_script(shims, workshop, tmp_path):
    profile = {
        "partition": "gpu", "account": "a1", "qos": "high", "constraint": "a100&ib",
        "nodes": 2, "tasks_per_node": 4, "gpus": "a100:4", "cpus": 8, "mem": "64G",
        "time": "2-0", "parallel": 7, "signal_s": 300,
        "options": {"exclusive": True, "nodelist": "n[1-4,7]", "mail-user": "x@y.z",
                    "reservation": None},
    }  # fmt: skip
    assert submitter(workshop).submit(batch(workshop, 9, **profile), {}) == "42"
    script = (tmp_path / "script").read_text()
    said = options(script)
    assert said == said | {
        "partition": "gpu", "account": "a1", "qos": "high", "constraint": "a100&ib",
        "nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "a100:4",
        "cpus-per-task": "8", "mem": "65536M", "time": "2880", "array": "0-8%7",
        "signal": "USR2@300", "exclusive": "", "nodelist": "n[1-4,7]",
        "mail-user": "x@y.z", "comment": "S1", "job-name": "cell.0", "requeue": "",
        "open-mode": "append",
    }  # fmt: skip
    assert not {"reservation", "wckey", "dependency"} & set(said)
    assert "--kill-on-bad-exit=1" in script
    assert "--cpus-per-task=8" in script


def test_one_element_is_no_array_and_waits_for_its_parents(shims, workshop, tmp_path):
    first = workshop.pretrain("p")
    workshop.cell("c", first)
    found = list(batches(workshop.jobs, by_job(Profile(), {}), largest=10))
    submitter(workshop).submit(found[1], {first.nodes[0]: "41"})
    said = options((tmp_path / "script").read_text())
    assert "array" not in said
    assert (said["dependency"], said["kill-on-invalid-dep"]) == ("afterok:41", "yes")


def test_the_elements_are_on_disk_before_sbatch_is_called(shims, workshop, tmp_path):
    folder = workshop.store.root / "submissions/S1/cell.0"
    shims(sbatch=f"cp {folder}/jobs.jsonl {tmp_path}/seen; echo job 42")
    made = batch(workshop, 2)
    submitter(workshop).submit(made, {})
    lines = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert [line["jobs"][0]["nodes"] for line in lines] == [
        list(job.nodes) for job in made.jobs
    ]
    assert {line["results"] for line in lines} == {str(workshop.store.root)}
    assert read_element(folder, 1) == lines[1]
    assert list(folder.glob("*.pkl")) == []


def test_the_site_comes_before_python(shims, workshop, tmp_path):
    site = Site(
        setup=("module load cuda/12", "source env/bin/activate"),
        python="apptainer exec img.sif python", scratch="$TMPDIR/cache", internet=False,
    )  # fmt: skip
    submitter(workshop, site).submit(batch(workshop), {})
    lines = (tmp_path / "script").read_text().splitlines()
    at = [lines.index(line) for line in site.setup]
    assert at == sorted(at)
    assert 'export MEDSSL_SCRATCH="$TMPDIR/cache"' in lines
    assert "export HF_HUB_OFFLINE=1 MEDSSL_OFFLINE=1" in lines
    [call] = [line for line in lines if line.startswith("srun ")]
    assert " apptainer exec img.sif python -u -m harness.submit.job " in call


def test_a_results_folder_with_any_name_is_one_word(shims, workshop, tmp_path):
    root = tmp_path / 'it\'s $(touch pwned) `id` "x" #y'
    submitter(workshop, root=root).submit(batch(workshop), {})
    script = (tmp_path / "script").read_text()
    assert options(script)["output"].startswith(f"{root}/submissions/S1/cell.0/")
    [call] = [line for line in script.splitlines() if line.startswith("srun ")]
    assert shlex.split(call)[-1] == f"{root}/submissions/S1/cell.0"
    checked = subprocess.run(
        ["bash", "-n", str(tmp_path / "script")], capture_output=True, check=False
    )
    assert checked.returncode == 0


@pytest.mark.parametrize("name", ["50%", "a\\b", "a\nb"])
def test_a_results_folder_that_slurm_would_rename_is_refused(workshop, tmp_path, name):
    with pytest.raises(UserError, match="has a character that SLURM replaces"):
        submitter(workshop, root=tmp_path / name)


def test_the_callers_own_job_does_not_shape_the_new_ones(
    shims, workshop, tmp_path, monkeypatch
):
    kept = {"SLURM_CONF": "/x", "SBATCH_ACCOUNT": "mine"}
    gone = {"SLURM_JOB_ID": "1", "SBATCH_ARRAY_INX": "0-5", "SBATCH_PARTITION": "p",
            "SUBMITIT_EXECUTOR": "slurm", "SRUN_DEBUG": "1"}  # fmt: skip
    for name, value in {**kept, **gone}.items():
        monkeypatch.setenv(name, value)
    submitter(workshop).submit(batch(workshop, partition="gpu"), {})
    seen = dict(
        line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines()
    )
    assert kept.items() <= seen.items()
    assert not gone.keys() & seen.keys()
    assert os.environ["SLURM_JOB_ID"] == "1"


@pytest.mark.parametrize(
    "said",
    ["sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: "
     "Job violates accounting/QOS policy (job submit limit, user's size and/or time)",
     "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"],
)  # fmt: skip
def test_a_limit_of_queued_jobs_is_told_from_a_fault(shims, workshop, said):
    shims(sbatch=f"echo {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(QueueFull, match=r"sbatch refused cell.0: sbatch: error"):
        submitter(workshop).submit(batch(workshop), {})


def test_a_busy_controller_is_asked_again(shims, workshop, tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "_PAUSE_S", 0.01)
    shims(
        sbatch=f"echo x >> {tmp_path}/calls; "
        f"[ $(wc -l < {tmp_path}/calls) -lt 3 ] && "
        "{ echo 'Socket timed out on send/recv operation' >&2; exit 1; }; echo job 42"
    )
    assert submitter(workshop).submit(batch(workshop), {}) == "42"
    assert (tmp_path / "calls").read_text() == "x\n" * 3


def test_what_was_taken_in_spite_of_an_error_is_not_sent_twice(
    shims, workshop, tmp_path
):
    shims(
        sbatch=f"echo x >> {tmp_path}/calls; echo 'Socket timed out' >&2; exit 1",
        squeue="echo '77_0|PENDING|None|S1|cell.0'; echo '78|PENDING|None|S2|cell.0'",
    )
    assert submitter(workshop).submit(batch(workshop), {}) == "77"
    assert (tmp_path / "calls").read_text() == "x\n"


def test_an_sbatch_left_behind_is_waited_for(tmp_path):
    script = tmp_path / "sbatch"
    script.write_text("#!/bin/bash\nsleep 0.6\n")
    script.chmod(0o755)
    orphan = subprocess.Popen(
        [str(script), "/x/submissions/20260101-000000-abcdef/s.sh"]
    )
    dead = Submission("20260101-000000-abcdef", "slurm", [], pid=2**22 + 1)
    settle([dead])
    assert orphan.wait(timeout=0.5) == 0


def test_a_job_file_that_is_gone_or_short_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"jobs.jsonl cannot be read.*harness resume"):
        read_element(tmp_path, 0)
    write_elements(tmp_path, [{"a": 1}])
    with pytest.raises(UserError, match=r"jobs.jsonl has no line 3.*harness resume"):
        read_element(tmp_path, 3)


def element(codes, monkeypatch):
    """Run an element whose jobs end with `codes`; return its code and what ran."""
    ran = []

    def run_slurm_job(results, name, nodes, runner):
        ran.append(name)
        if codes[int(name)]:
            raise SystemExit(codes[int(name)])

    monkeypatch.setattr("harness.run.worker.run_slurm_job", run_slurm_job)
    jobs = [
        {"name": str(i), "nodes": [], "family": ["cell", "m", "t"]}
        for i in range(len(codes))
    ]
    work = Element("/nowhere/S1/cell.0", 0)
    try:
        work({"results": "/nowhere", "runner": "", "jobs": jobs})
    except SystemExit as end:
        return end.code, ran
    return 0, ran


@pytest.mark.parametrize(
    ("codes", "code"), [((0, 0), 0), ((0, 1, 0), 1), ((75, 0), 75), ((75, 1), 1)]
)
def test_every_cell_of_a_job_runs_and_the_worst_code_counts(codes, code, monkeypatch):
    assert element(codes, monkeypatch) == (code, [str(i) for i in range(len(codes))])


def warned(folder, after_s, *, limit_min=60, timeouts=2, signal_s=90):
    """Warn an element that it must end; return its exit code or 'requeue'."""
    work = Element(str(folder), 3)
    work._started -= after_s
    line = {"time_min": limit_min, "signal_s": signal_s, "timeouts": timeouts}
    try:
        again = work.checkpoint(line)
    except SystemExit as end:
        return end.code
    return "requeue" if again.args == (line,) else again


def test_preemptions_are_not_counted_and_time_outs_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.run.interrupts.progress.made", False)
    for _ in range(5):
        assert warned(tmp_path, 30 * 60) == "requeue"
    late = 60 * 60 - 90 - 30  # up to a minute early
    assert [warned(tmp_path, late) for _ in range(3)] == ["requeue", "requeue", 1]
    assert "not requeued: 2 time-outs before that saved nothing" in (
        capsys.readouterr().err
    )
    # submitit takes every interruption of a job of under ten minutes for a time-out.
    assert warned(tmp_path, 60, limit_min=8) == "requeue"
    monkeypatch.setattr("harness.run.interrupts.progress.made", True)
    assert {warned(tmp_path, late) for _ in range(3)} == {"requeue"}
