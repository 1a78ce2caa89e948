"""From specs to published tables, at tier tiny."""

import errno
import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.run import cell
from harness.run.adapt import finetune
from harness.run.adapt.implementation import Implementation
from harness.schema.errors import Exit, UserError

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def test_a_pretrained_segmentation_cell_end_to_end(tiny):
    plan = tiny.plan("smit: ", protocols="{finetune: {steps: 2}}")
    pretrain, adapt, evaluate = tiny.nodes(plan)
    assert tiny.run([pretrain, adapt, evaluate]) == Exit.DONE
    store = tiny.store

    about = json.loads(store.file(pretrain, "encoder.json").read_text())
    weights = load_file(store.file(pretrain, "encoder.safetensors"))
    assert about["encoder"]["kind"] == "swin"
    assert about["preprocess"]["organs"]["intensity"]["kind"] == "window"
    assert (
        about["sha256"] == store.manifest(pretrain).files["encoder.safetensors"].sha256
    )
    assert "methods/smit.py" in store.manifest(pretrain).run["sources"]
    assert not any("mask_token" in name for name in weights)
    curves = tiny.table(pretrain, "curves")
    monitored = {"spread", "effective_rank"} | {
        f"{part}_targets.{quantity}"
        for part in ("patch", "image")
        for quantity in ("entropy", "used", "information")
    }
    assert set(curves.quantity) == {"loss", "mip", "mpd", "itd"} | monitored
    assert sorted(curves[curves.quantity == "loss"].step) == [1, 2, 3, 4]

    curves = tiny.table(adapt, "curves")
    assert set(zip(curves.split, curves.quantity, strict=True)) == {
        ("train", "loss"), ("val", "score"), ("val", "loss"),
    }  # fmt: skip
    trained = load_file(store.file(adapt, "model.safetensors"))
    # Two steps at rate 1e-3 move a weight by at most about 2e-3.
    drift = max(
        (trained[f"encoder.{name}"] - value).abs().max().item()
        for name, value in weights.items()
    )
    assert 0 < drift < 4e-3
    run = store.manifest(adapt).run
    assert run["n_train"] == 8
    assert run["trainable_params"] == sum(v.numel() for v in trained.values()) - 12
    assert run["device"] == "cpu" or torch.cuda.is_available()

    cases = tiny.table(evaluate, "cases")
    assert len(cases) == 4 * 2 * 2  # cases, structures, metrics
    assert set(cases.structure) == {"big", "small"}
    assert set(cases.metric) == {"dice", "hd95"}
    assert set(cases.case_id) == {"case10", "case11", "case12", "case13"}
    assert set(cases.group_id) == {"patient10", "patient11", "patient12", "patient13"}
    size = np.array([20, 24, 18]) * [1, 1, 1.5]
    assert cases.diagonal_mm.unique() == pytest.approx(np.linalg.norm(size))
    assert cases.value.isna().equals(
        cases.reason.isin(["pred_empty", "gt_empty", "both_empty"])
        & (cases.metric == "hd95")
    )
    with np.load(store.file(evaluate, "slices.npz"), allow_pickle=False) as slices:
        assert sorted(slices["case_ids"]) == sorted(set(cases.case_id))
        assert slices["0_0_image"].dtype == np.uint8
        assert not slices["is_worst"].any()


@pytest.mark.parametrize("protocol", ["finetune", "linear_probe"])
def test_a_classification_cell_end_to_end(tiny, protocol):
    plan = tiny.plan(
        SIMMIM,
        protocols=f"{{{protocol}: {{steps: 3}}}}",
        tasks="{nodules: }",
        budgets="2-shot",
    )
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    (found,) = plan.cells
    rows = tiny.table(found.evaluate_key, "predictions")
    assert rows.groupby("split", observed=True).size().to_dict() == {
        "test": 4,
        "val": 2,
    }
    assert rows.y_true.tolist() == [int(c[-2:]) % 2 for c in rows.case_id]
    assert np.stack(rows.scores).sum(axis=1) == pytest.approx(1)
    manifest = tiny.store.manifest(found.adapt_key)
    assert manifest.run["n_train"] == 4
    if protocol == "linear_probe":
        about = json.loads(tiny.store.file(found.adapt_key, "model.json").read_text())
        width = 96 if about["chosen"]["blocks"] == 1 else 48 + 96
        assert manifest.run["trainable_params"] == width * 2 + 2


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny):
    plan = tiny.plan(SIMMIM, seeds="0, 1", protocols="{finetune: {steps: 1}}")
    keys = tiny.nodes(plan)
    again = tiny.bench.root / "again"
    for results in (tiny.results, again):
        plan.write_specs(cell.Store(results), plan.jobs())
        assert tiny.run(keys, results=results) == Exit.DONE

    def digests(results):
        store = cell.Store(results)
        return {
            (key, name): entry.sha256
            for key in keys
            for name, entry in store.manifest(key).files.items()
            if name.endswith(("safetensors", "cases.parquet"))
        }

    assert digests(tiny.results) == digests(again)
    first, second = (
        digests(again)[c.adapt_key, "model.safetensors"] for c in plan.cells
    )
    assert first != second


def test_running_again_repeats_only_what_is_not_published(tiny):
    plan = tiny.plan(SIMMIM)
    keys = tiny.nodes(plan)
    assert tiny.run(keys[:2]) == Exit.DONE
    before = {key: tiny.store.manifest(key).attempt for key in keys[:2]}
    assert tiny.run(keys) == Exit.DONE
    assert tiny.run(keys) == Exit.DONE
    assert {key: tiny.store.manifest(key).attempt for key in keys[:2]} == before
    assert [len(tiny.store.attempts(key)) for key in keys] == [1, 1, 1]


def test_a_node_waits_for_its_input(tiny):
    _, adapt, evaluate = keys = tiny.nodes(tiny.plan(SIMMIM))
    assert tiny.run([adapt, evaluate]) == Exit.BLOCKED
    assert tiny.last(adapt)["state"] == "blocked"
    assert keys[0][:16] in tiny.last(adapt)["message"]
    assert tiny.last(evaluate)["state"] == "blocked"


def test_an_input_that_was_damaged_blocks(tiny):
    pretrain, adapt, _ = tiny.nodes(tiny.plan(SIMMIM))
    assert tiny.run([pretrain]) == Exit.DONE
    tiny.store.file(pretrain, "encoder.safetensors").write_bytes(b"cut")
    assert tiny.run([adapt]) == Exit.BLOCKED


def test_a_failed_node_leaves_the_others_to_go_on(tiny, monkeypatch):
    plan = tiny.plan("random: ", seeds="0, 1", protocols="{finetune: {steps: 1}}")
    first, second = plan.cells
    honest = finetune.IMPLEMENTATION.adapt

    def fragile(node):
        if node.key == first.adapt_key:
            message = "a fault of the code"
            raise RuntimeError(message)
        honest(node)

    monkeypatch.setattr(finetune, "IMPLEMENTATION", Implementation(fragile))
    assert tiny.run(tiny.nodes(plan)) == Exit.FAILED
    record = tiny.last(first.adapt_key)
    assert (record["state"], record["error_class"]) == ("failed", "code")
    log = tiny.store.node_dir(first.adapt_key) / "attempts" / record["attempt"]
    assert "RuntimeError: a fault of the code" in (log / "log.txt").read_text()
    assert tiny.last(first.evaluate_key)["state"] == "blocked"
    assert tiny.store.is_done(second.evaluate_key)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (OSError(errno.EIO, "Input/output error"), "code"),
    ],
)
def test_the_cause_of_a_failure_is_told(tiny, monkeypatch, error, expected):
    adapt, _ = tiny.nodes(tiny.plan())

    def fail(node):
        raise error

    monkeypatch.setattr(finetune, "IMPLEMENTATION", Implementation(fail))
    assert tiny.run([adapt]) == Exit.FAILED
    assert tiny.last(adapt)["error_class"] == expected


def test_a_loss_that_is_not_finite_names_step_and_cases(tiny, monkeypatch):
    pretrain, _, _ = tiny.nodes(tiny.plan("simmim: {lr: 1e30, clip: 1e30}"))
    assert tiny.run([pretrain]) == Exit.FAILED
    message = tiny.last(pretrain)["message"]
    assert "the loss became" in message
    assert "at step 1 of 4 (cases case" in message
    assert "lower 'lr'" in message


def test_data_that_changed_since_planning_is_refused(tiny):
    adapt, _ = tiny.nodes(tiny.plan())
    painter = tiny.bench.root / "tasks" / "toy.py"
    text = painter.read_text().replace('stamp="1"', 'stamp="22"')
    painter.write_text(text)
    for name in [name for name in sys.modules if name.split(".")[0] == "tasks"]:
        del sys.modules[name]
    assert tiny.run([adapt]) == Exit.FAILED
    record = tiny.last(adapt)
    assert record["error_class"] == "data"
    assert "has changed since this cell was planned" in record["message"]


def test_a_spec_that_was_edited_is_refused(tiny):
    adapt, _ = tiny.nodes(tiny.plan())
    path = tiny.store.node_dir(adapt) / "spec.json"
    spec = json.loads(path.read_text())
    spec["identity"]["seeds"]["adapt"] = 5
    path.write_text(json.dumps(spec))
    with pytest.raises(UserError, match=r"spec.json was changed"):
        tiny.run([adapt])
    assert not tiny.store.attempts(adapt)


def test_a_node_that_was_never_planned_fails_after_the_others(tiny):
    adapt, _ = tiny.nodes(tiny.plan())
    with pytest.raises(UserError, match=r"spec.json is missing"):
        tiny.run(["0" * 64, adapt])
    assert tiny.store.is_done(adapt)


def test_an_encoder_that_does_not_fit_is_refused_with_the_share(tiny):
    pretrain, adapt, _ = tiny.nodes(tiny.plan(SIMMIM))
    assert tiny.run([pretrain]) == Exit.DONE
    path = tiny.store.file(pretrain, "encoder.safetensors")
    weights = load_file(path)
    name = "stem.weight"
    weights[name] = weights[name].flatten()
    save_file(weights, path)
    manifest = tiny.store.root / "done" / pretrain[:2] / f"{pretrain[:16]}.json"
    document = json.loads(manifest.read_text())
    document["files"]["encoder.safetensors"]["size"] = path.stat().st_size
    manifest.write_text(json.dumps(document))
    assert tiny.run([adapt]) == Exit.FAILED
    message = tiny.last(adapt)["message"]
    total = len(weights)
    share = 100 * (total - 1) / total
    assert f"fits {total - 1} of the network's {total} tensors ({share:.1f} %)" in (
        message
    )
    assert "stem.weight is missing or has another shape" in message
