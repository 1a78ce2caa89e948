"""An interrupted and resumed training ends with the bits of an uninterrupted one."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from hashlib import sha256

import pytest
from safetensors.torch import load_file, save_file

from harness.run import training
from harness.run.interrupts import Interrupted
from harness.schema.errors import Exit
from harness.store import Store
from harness.store.records import CHECKPOINTS

SMIT = "smit: {warmup: 2, crop: [16, 16, 16], region: [20, 20, 20], steps: 6, %s}"
DROPS = "encoder: {drop_path: 0.3}"
EVERY = "training: {checkpoint_steps: %d}"
FINETUNE = "{finetune: {steps: 6, val_every: 2, flip: 0.5}}"


@pytest.fixture
def interrupt(monkeypatch):
    """Send this process a signal in the middle of a step, once."""

    def at(step, number):
        honest = training.Training._autocast
        sent = []

        def autocast(self):
            if self.done == step and not sent:
                sent.append(step)
                os.kill(os.getpid(), number)
            return honest(self)

        monkeypatch.setattr(training.Training, "_autocast", autocast)

    return at


def outcome(tiny, results, key, weights):
    """What must be equal: the weights' bytes and every curve but its seconds."""
    store = Store(results)
    tiny.store = store
    curves = tiny.table(key, "curves").drop(columns="wall_s")
    digest = sha256(store.file(key, f"{weights}.safetensors").read_bytes()).hexdigest()
    return digest, curves.to_json()


def run_whole(tiny, plan, keys):
    whole = tiny.bench.root / "whole"
    plan.write_specs(Store(whole), plan.jobs())
    assert tiny.run(keys, results=whole) == Exit.DONE
    return whole


def checkpoints(tiny, key):
    return sorted((tiny.store.node_dir(key) / CHECKPOINTS).glob("step-*.json"))


def log_of(tiny, key):
    attempt = tiny.last(key)["attempt"]
    return (tiny.store.node_dir(key) / "attempts" / attempt / "log.txt").read_text()


@pytest.mark.parametrize("kind", ["sgd", "lars"])
def test_momentum_is_part_of_what_resumes(tiny, interrupt, kind):
    plan = tiny.plan(SMIT % f"optimiser: {kind}")
    key = tiny.nodes(plan)[0]
    whole = run_whole(tiny, plan, [key])
    interrupt(3, signal.SIGUSR2)
    with pytest.raises(Interrupted):
        tiny.run([key])
    assert tiny.run([key]) == Exit.DONE
    assert outcome(tiny, tiny.results, key, "encoder") == (
        outcome(tiny, whole, key, "encoder")
    )


@pytest.mark.parametrize("step", [0, 3, 5])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_pretraining_resumes_bit_for_bit(tiny, interrupt, step, accumulate):
    plan = tiny.plan(SMIT % f"{DROPS}, accumulate: {accumulate}")
    key = tiny.nodes(plan)[0]
    whole = run_whole(tiny, plan, [key])
    interrupt(step, signal.SIGUSR2)
    with pytest.raises(Interrupted):
        tiny.run([key])
    assert tiny.last(key)["error_class"] == "interrupted"
    assert [p.name[:14] for p in checkpoints(tiny, key)] == [f"step-{step + 1:09d}"]
    assert tiny.run([key]) == Exit.DONE
    assert f"resumed at step {step + 1} from step-" in log_of(tiny, key)
    assert outcome(tiny, tiny.results, key, "encoder") == outcome(
        tiny, whole, key, "encoder"
    )


@pytest.mark.parametrize(("step", "number"), [(1, signal.SIGTERM), (4, signal.SIGINT)])
def test_a_fine_tuning_resumes_bit_for_bit(tiny, interrupt, step, number):
    plan = tiny.plan(f"random: {{{DROPS}}}", protocols=FINETUNE)
    adapt, evaluate = tiny.nodes(plan)
    whole = run_whole(tiny, plan, [adapt, evaluate])
    interrupt(step, number)
    with pytest.raises(KeyboardInterrupt):
        tiny.run([adapt, evaluate])
    assert tiny.run([adapt, evaluate]) == Exit.DONE
    again = outcome(tiny, tiny.results, adapt, "model")
    scores = tiny.table(evaluate, "cases")
    assert again == outcome(tiny, whole, adapt, "model")
    assert scores.equals(tiny.table(evaluate, "cases"))


def test_checkpoints_come_by_cadence_and_go_with_publication(tiny, monkeypatch):
    key = tiny.nodes(tiny.plan(SMIT % DROPS, more=EVERY % 2))[0]
    seen = []
    honest = training.Training.save

    def save(self):
        honest(self)
        seen.append([path.name[:14] for path in checkpoints(tiny, key)])

    monkeypatch.setattr(training.Training, "save", save)
    assert tiny.run([key]) == Exit.DONE
    names = [f"step-{step:09d}" for step in (2, 4, 6)]
    assert seen == [names[:1], names[:2], names[1:]]  # the last two are kept
    assert not (tiny.store.node_dir(key) / CHECKPOINTS).exists()


def test_a_killed_process_loses_what_came_after_the_last_checkpoint(tiny):
    plan = tiny.plan(SMIT.replace("steps: 6", "steps: 40") % DROPS, more=EVERY % 1)
    key = tiny.nodes(plan)[0]
    whole = run_whole(tiny, plan, [key])
    code = (
        "import sys; from harness.run.cell import run_nodes; "
        "run_nodes(sys.argv[1], sys.argv[2:], threads=1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tiny.results), key])
    end = time.monotonic() + 60
    while len(checkpoints(tiny, key)) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert tiny.last(key)["state"] == "lost"
    assert tiny.run([key]) == Exit.DONE
    assert "resumed at step" in log_of(tiny, key)
    assert outcome(tiny, tiny.results, key, "encoder") == outcome(
        tiny, whole, key, "encoder"
    )


def truncate(path):
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(path):
    weights = path.with_suffix(".safetensors")
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)


def change_json(path):
    path.write_text(path.read_text().replace('"step": 4', '"step": 5'))


def plant(path):
    """Put a pickle that tells when it is loaded where the tensors are expected."""
    weights = path.with_suffix(".safetensors")
    flag = path.with_name("loaded")

    class Evil:
        def __reduce__(self):
            return (flag.write_text, ("yes",))

    data = pickle.dumps(Evil())
    weights.write_bytes(data)
    document = json.loads(path.read_text())
    body = document["body"]
    body |= {"sha256": sha256(data).hexdigest(), "size": len(data)}
    text = json.dumps(body, sort_keys=True)
    document["sha256"] = sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))


def other_tensors(path):
    weights = path.with_suffix(".safetensors")
    tensors = load_file(weights)
    name = next(name for name in tensors if name.startswith("module/"))
    tensors[name] = tensors[name].flatten()[:1].clone()
    save_file(tensors, weights)
    document = json.loads(path.read_text())
    body = document["body"]
    data = weights.read_bytes()
    body |= {"sha256": sha256(data).hexdigest(), "size": len(data)}
    text = json.dumps(body, sort_keys=True)
    document["sha256"] = sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncate, "has other content than was written"),
        (flip_a_bit, "has other content than was written"),
        (change_json, "its JSON has other content"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.with_suffix(".safetensors").unlink(), "cannot be read"),
        (plant, "its tensors cannot be read"),
        (other_tensors, "the module has other tensors now"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    tiny, interrupt, spoil, reason
):
    plan = tiny.plan(SMIT % DROPS, more=EVERY % 2)
    key = tiny.nodes(plan)[0]
    interrupt(3, signal.SIGUSR2)
    with pytest.raises(Interrupted):
        tiny.run([key])
    older, newer = checkpoints(tiny, key)
    spoil(newer)
    assert tiny.run([key]) == Exit.DONE
    log = log_of(tiny, key)
    assert f"checkpoint {newer.name} cannot be used: " in log
    assert reason in log
    assert f"resumed at step 2 from {older.name}" in log
    assert not list(tiny.store.node_dir(key).rglob("loaded"))


def test_without_a_sound_checkpoint_a_training_begins_anew(tiny, interrupt):
    plan = tiny.plan(SMIT % DROPS)
    key = tiny.nodes(plan)[0]
    whole = run_whole(tiny, plan, [key])
    interrupt(3, signal.SIGUSR2)
    with pytest.raises(Interrupted):
        tiny.run([key])
    truncate(checkpoints(tiny, key)[0])
    assert tiny.run([key]) == Exit.DONE
    assert "resumed" not in log_of(tiny, key)
    assert outcome(tiny, tiny.results, key, "encoder") == outcome(
        tiny, whole, key, "encoder"
    )


def test_a_disk_that_refuses_a_checkpoint_does_not_end_the_training(tiny):
    key = tiny.nodes(tiny.plan(SMIT % DROPS, more=EVERY % 2))[0]
    (tiny.store.node_dir(key) / CHECKPOINTS).write_text("in the way")
    assert tiny.run([key]) == Exit.DONE
    assert "no checkpoint at step 2: " in log_of(tiny, key)


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(tiny):
    method = "simmim: {lr: 1e30, clip: 1e30}"
    key = tiny.nodes(tiny.plan(method, more=EVERY % 1))[0]
    assert tiny.run([key]) == Exit.FAILED
    (kept,) = checkpoints(tiny, key)
    assert kept.name.startswith("step-000000001-")
    assert f"the last good checkpoint is {kept}" in tiny.last(key)["message"]
