"""Real trainings under a real SLURM: several tasks, warnings, requeues."""

import subprocess
import time

import pytest
from safetensors.torch import load_file

from harness.matrix.profiles import Profile
from harness.schema.errors import Exit
from harness.store import Store
from harness.store.records import CHECKPOINTS
from harness.submit.slurm import Slurm

from ..exact import in_64_bits
from ..run.conftest import TinyRun
from ..run.test_ranks import difference
from .conftest import ROOT

pytestmark = pytest.mark.training
SMIT = (
    "smit: {crop: [16, 16, 16], region: [20, 20, 20], batch: 4, warmup: 1, "
    "momentum: 0.5, center_momentum: 0.5, encoder: {drop_path: 0.3}, steps: %d}"
)
EXACT = "tests.exact:run_nodes"


@pytest.fixture
def tiny(bench):
    return TinyRun(bench)


@pytest.fixture
def submit(slurm, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def submit(store, jobs, **asked):
        settings = {k: asked.pop(k) for k in ("runner",) if k in asked}
        profile = Profile.model_validate({"cpus": 1, "time": 20, **asked})
        said = []
        backend = Slurm(store, profile=profile, say=said.append, **settings)
        assert backend.run(jobs).exit == Exit.DONE
        return said

    return submit


def copied(tiny, plan, name):
    store = Store(tiny.bench.root / name)
    plan.write_specs(store, plan.jobs())
    return store


def show(job_id, field):
    text = subprocess.run(
        ["scontrol", "show", "job", job_id], capture_output=True, text=True, check=True
    ).stdout
    return text.partition(f"{field}=")[2].split()[0]


def started_at_once(job_id):
    """Take off the two minutes that SLURM lets a requeued job wait; say if it runs."""
    subprocess.run(["scontrol", "update", f"jobid={job_id}", "starttime=now"])
    return show(job_id, "JobState") == "RUNNING"


def until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def test_two_tasks_of_srun_train_what_one_process_trains(tiny, submit, drained):
    plan = tiny.plan(SMIT % 5)
    key = tiny.nodes(plan)[0]
    spread = copied(tiny, plan, "spread")
    submit(spread, plan.jobs()[:1], tasks_per_node=2, runner=EXACT)
    with in_64_bits():
        assert tiny.run([key]) == Exit.DONE
    drained(120)
    [attempt] = spread.attempts(key)
    assert (attempt["state"], attempt["where"]["ranks"]) == ("done", 2)
    assert difference(tiny.store, spread, key, "encoder") < 1e-5


def test_a_warned_training_saves_is_requeued_and_ends_with_the_same_bits(
    tiny, submit, queue, drained
):
    plan = tiny.plan(SMIT % 150, more="training: {checkpoint_steps: 5}")
    key = tiny.nodes(plan)[0]
    store, whole = (copied(tiny, plan, name) for name in ("warned", "whole"))
    submit(store, plan.jobs()[:1])
    [(job_id,)] = queue("%i")
    folder = store.node_dir(key)
    until(lambda: list((folder / CHECKPOINTS).glob("step-*.json")))
    subprocess.run(["scancel", "--signal=USR2", job_id], check=True)
    until(lambda: show(job_id, "Restarts") == "1")
    until(lambda: store.attempts(key)[0]["error_class"] == "interrupted")
    saved = max((folder / CHECKPOINTS).glob("step-*.json"))
    until(lambda: started_at_once(job_id))
    assert tiny.run([key], results=whole.root) == Exit.DONE
    drained(120)
    attempt = store.attempts(key)[1]
    assert attempt["state"] == "done"
    log = (folder / "attempts" / attempt["attempt"] / "log.txt").read_text()
    assert f"from {saved.name}" in log
    resumed, uninterrupted = (
        each.file(key, "encoder.safetensors") for each in (store, whole)
    )
    assert resumed.read_bytes() == uninterrupted.read_bytes()
    assert load_file(resumed)
