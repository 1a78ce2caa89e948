"""Settings of a training: which change numbers, and which must not."""

import json
import re
import sys
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load_file

from harness.run.cell import run_nodes
from harness.schema.errors import Exit, Mistakes
from harness.store import Store

SIMMIM = "simmim: {crop: [16, 16, 16], region: [20, 20, 20], batch: 4, steps: 4, %s}"
DROPS = "encoder: {drop_path: 0.4}"


def trained(tiny, method, more=""):
    """Pretrain into a results folder of its own; return key, weights, their digest."""
    plan = tiny.plan(method, more=more)
    key = tiny.nodes(plan)[0]
    results = tiny.bench.root / f"results-{key[:8]}-{abs(hash(more))}"
    plan.write_specs(Store(results), plan.jobs())
    assert run_nodes(str(results), [key], threads=1) == Exit.DONE
    path = Store(results).file(key, "encoder.safetensors")
    return key, load_file(path), sha256(path.read_bytes()).hexdigest()


def test_recomputing_changes_neither_key_nor_bits(tiny):
    key, _, digest = trained(tiny, SIMMIM % DROPS)
    again, _, same = trained(tiny, SIMMIM % DROPS, "training: {recompute: true}")
    assert (key, digest) == (again, same)


def tuned(tiny, line):
    """Fine-tune a classifier, whose draws do not hang on its settings; its weights."""
    protocols = f"{{finetune: {{steps: 3, batch: 4, val_every: 3, flip: 0.5, {line}}}}}"
    plan = tiny.plan(f"random: {{{DROPS}}}", protocols=protocols, tasks="{nodules: }")
    key = tiny.nodes(plan)[0]
    assert tiny.run([key]) == Exit.DONE
    return key, load_file(tiny.store.file(key, "model.safetensors"))


def largest_difference(one, other):
    return max((value - other[name]).abs().max().item() for name, value in one.items())


def test_micro_batches_see_the_draws_of_the_whole_batch(tiny):
    # Cross-entropy does not look across samples: only rounding may differ.
    key, whole = tuned(tiny, "lr: 1e-3")
    other, parts = tuned(tiny, "accumulate: 4, lr: 1e-3")
    assert key != other  # a Dice over the batch does differ
    assert largest_difference(whole, parts) < 1e-4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_is_another_result(tiny, precision):
    key, whole = tuned(tiny, "lr: 1e-3")
    other, half = tuned(tiny, f"precision: {precision}, lr: 1e-3")
    assert key != other
    assert all(value.dtype == torch.float32 for value in half.values())
    # Three steps at rate 1e-3 move a weight by at most about 3e-3 either way.
    assert 0 < largest_difference(whole, half) < 7e-3


def test_a_fine_tuning_in_half_precision_is_scored(tiny):
    protocols = "{finetune: {steps: 2, precision: bf16, accumulate: 2}}"
    plan = tiny.plan("random: ", protocols=protocols)
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    curves = tiny.table(plan.cells[0].adapt_key, "curves")
    assert curves.value.notna().all()


def test_the_encoder_is_compiled_where_that_is_asked_for(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **how: asked.append((type(self), how))
    )
    trained(tiny, SIMMIM % DROPS, "training: {compile: inductor}")
    (found,) = asked
    assert found[0].__name__ == "Swin"
    assert found[1] == {"backend": "inductor", "dynamic": False}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("training: {checkpoint_minute: 5}", "checkpoint_minutes"),
        ("training: {checkpoint_minutes: 0}", "greater than 0"),
        ("keep: {adapt: newest}", "'none', 'last' or 'best'"),
        ("keep: {adopt: none}", "adapt"),
    ],
)
def test_mistakes_name_the_line_and_what_was_expected(tiny, line, sentence):
    with pytest.raises(Mistakes) as found:
        tiny.plan(more=line)
    text = str(found.value)
    assert "benchmark.yaml:9: " in text
    assert sentence in text


def test_a_batch_that_cannot_be_divided_is_refused(tiny):
    key = tiny.nodes(tiny.plan(SIMMIM % "accumulate: 3"))[0]
    assert tiny.run([key]) == Exit.FAILED
    record = tiny.last(key)
    assert record["error_class"] == "data"
    assert "a batch of 4 cannot be divided among 1 processes x 3" in record["message"]


def test_run_settings_are_told_to_jobs_and_are_no_identity(tiny):
    plain = tiny.nodes(tiny.plan(SIMMIM % DROPS))
    line = "training: {checkpoint_minutes: 2}\nkeep: {adapt: none}"
    told = tiny.nodes(tiny.plan(SIMMIM % DROPS, more=line))
    assert plain == told
    spec = json.loads((tiny.store.node_dir(told[0]) / "spec.json").read_text())
    assert spec["where"]["training"]["checkpoint_minutes"] == 2
    assert spec["where"]["keep"]["adapt"] == "none"


DIARY = '''
"""A method that notes when it is called, and with which weights."""
from typing import ClassVar

from harness.api import Loss, Method, MethodSettings
from harness.nn.build import build_encoder

SEEN = []


class DiarySettings(MethodSettings):
    pass


class Diary(Method):
    """Notes."""

    Settings = DiarySettings
    version: ClassVar[int] = 1

    def __init__(self, settings, channels, rng):
        super().__init__(settings, channels, rng)
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()

    def note(self, what, step):
        SEEN.append((what, step, self.student.stem.weight.sum().item()))

    def loss(self, batch, rng):
        self.note("loss", self.step)
        loss = self.student(batch.volumes, rng=rng).pooled.square().mean()
        return Loss(loss, {"own": loss.detach()})

    def after_step(self, step, total):
        self.note("after", step)
        assert total == 3

    def encoder(self):
        return self.student
'''


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_method_is_told_the_global_step_and_follows_the_optimisers(tiny, accumulate):
    """An EMA moves once per step, after it, by a step that no epoch turns back."""
    tiny.bench.add("methods/diary.py", DIARY)
    small = "crop: [16, 16, 16], region: [16, 16, 16], batch: 8, steps: 3"
    trained(tiny, f"diary: {{{small}, accumulate: {accumulate}}}")
    seen = sys.modules["methods.diary"].SEEN
    calls = [("loss", "after")[i] for i in [*[0] * accumulate, 1]]
    assert [(what, step) for what, step, _ in seen] == [
        (what, step) for step in range(3) for what in calls
    ]  # 8 of 8 cases a step: three epochs
    weights = [weight for *_, weight in seen]
    for step in range(3):
        first = step * len(calls)
        *losses, after = weights[first : first + len(calls)]
        assert len({*losses}) == 1
        assert after != losses[0]  # the optimiser has been there
        assert weights[first + len(calls) :][:1] in ([after], [])


def test_a_training_that_diverges_says_step_cases_and_checkpoint(tiny, capfd):
    method = SIMMIM.replace("steps: 4", "steps: 9")
    more = "training: {checkpoint_steps: 1}"
    key = tiny.nodes(tiny.plan(method % "lr: 1.0e+20, warmup: 0", more=more))[0]
    assert tiny.run([key]) == Exit.FAILED
    said = capfd.readouterr().err.strip()
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    found = re.fullmatch(
        r"the (?:loss|gradient) became (?:nan|inf) at step ([1-8]) of 9 \(cases "
        r"(case\d\d(?:, case\d\d){3})\): lower 'lr', or look at these cases; the last "
        r"good checkpoint is (.*/step-(\d{9})-.*\.json)",
        said,
    )
    assert found is not None, said
    assert int(found[4]) == int(found[1])  # steps done before the one that failed
    weights = load_file(found[3].replace(".json", ".safetensors"))
    assert all(value.isfinite().all() for value in weights.values())
    assert not tiny.store.is_done(key)
    last = tiny.last(key)
    assert (last["state"], last["error_class"]) == ("failed", "code")
