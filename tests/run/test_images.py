"""Images with two axes, in colour, from a task file to scores, at tier tiny."""

from pathlib import Path

import numpy as np
import pytest

from harness.schema.errors import Exit

ROOT = Path(__file__).resolve().parents[2]
METHODS = """
  random: {encoder: {dims: 2}},
  simmim: {encoder: {dims: 2}, steps: 2, crop: [32, 32], region: [40, 40]}
"""


@pytest.fixture
def flat(tiny):
    """The lesions of this repository, a few of them, and nothing else to pretrain on."""
    few = "settings: {train: 8, val: 4, test: 4"
    for name in ("phantom_lesions", "phantom_lesion_borders"):
        text = (ROOT / "tasks" / f"{name}.yaml").read_text()
        text = text.replace("cases: 280", "cases: 16").replace(
            "settings: {", f"{few}, "
        )
        text = text.replace("seed: 0}", f"seed: 0, {few}}}}}")
        tiny.bench.add(f"tasks/{name}.yaml", text)
    source = (ROOT / "tasks" / "phantom_lesions.py").read_text()
    tiny.bench.add("tasks/phantom_lesions.py", source)
    tiny.bench.add(
        "corpora/painted.yaml", "title: T\nsources: [{task: phantom_lesions}]\n"
    )
    return tiny


def test_classes_of_colour_images_from_pretraining_to_scores(flat):
    plan = flat.plan(
        METHODS,
        protocols="{finetune: {steps: 2, batch: 4, rotate: 0.9}, linear_probe: {}}",
        tasks="{phantom_lesions: }",
    )
    keys = flat.nodes(plan)
    assert len(keys) == 9
    assert flat.run(keys) == Exit.DONE
    evaluations = [key for key in keys if flat.store.spec(key)["kind"] == "evaluate"]
    for key in evaluations:
        predictions = flat.table(key, "predictions")
        assert set(predictions.split) == {"val", "test"}
        scores = np.stack(predictions.scores)
        assert scores.shape == (8, 2)
        assert np.allclose(scores.sum(axis=1), 1)


def test_regions_that_overlap_from_training_to_scores(flat):
    plan = flat.plan(
        "random: {encoder: {dims: 2}}",
        protocols="{finetune: {steps: 2, batch: 2}}",
        tasks="{phantom_lesion_borders: }",
    )
    adapt, evaluate = flat.nodes(plan)
    assert flat.store.spec(adapt)["identity"]["settings"]["regions"] == [[1, 2], [2]]
    assert flat.run([adapt, evaluate]) == Exit.DONE
    cases = flat.table(evaluate, "cases")
    assert set(cases.structure) == {"lesion", "core"}
    assert set(cases.metric) == {"dice", "hd95"}
    assert len(cases) == 4 * 2 * 2
    assert cases.diagonal_mm.unique() == pytest.approx([16 * np.sqrt(2)])
    with np.load(flat.store.file(evaluate, "slices.npz")) as slices:
        names = [name for name in slices if name.startswith("0_")]
        assert sorted(names) == ["0_0_image", "0_0_pred", "0_0_truth"]
        assert slices["0_0_image"].shape == (64, 64)
        assert set(np.unique(slices["0_0_truth"])) == {0, 1, 2}


def test_an_adapter_around_a_frozen_vit_on_images(flat):
    plan = flat.plan(
        "random: {encoder: {kind: vit, dims: 2}}",
        protocols="{frozen_adapter: {steps: 2, batch: 2, overlap: 0}}",
        tasks="{phantom_lesion_borders: }",
    )
    adapt, evaluate = flat.nodes(plan)
    assert flat.run([adapt, evaluate]) == Exit.DONE
    assert flat.table(evaluate, "cases").value.between(0, 1000).any()


def test_a_fusion_on_images(flat):
    small = "steps: 1, crop: [32, 32], region: [40, 40]"
    plan = flat.plan(
        f"a: {{extends: simmim, encoder: {{dims: 2}}, {small}}}, "
        f"b: {{extends: simmim, encoder: {{kind: vit, dims: 2}}, {small}}}, "
        "dvme: {of: [a, b], tokens: component}",
        protocols="{finetune: {steps: 2, batch: 4, freeze: encoder}}",
        tasks="{phantom_lesions: }",
    )
    (cell,) = (cell for cell in plan.cells if cell.method == "dvme")
    wanted = {*cell.encoders, cell.adapt_key, cell.evaluate_key}
    assert flat.run([key for key in flat.nodes(plan) if key in wanted]) == Exit.DONE
    shares = np.load(flat.store.file(cell.evaluate_key, "attention.npz"))["shares"]
    assert np.allclose(shares.sum(axis=1), 1)
