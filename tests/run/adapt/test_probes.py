"""Protocols linear_probe and knn from a plan to scores, and the vectors they share."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.metrics.classification import auc
from harness.run.adapt import vectors
from harness.run.adapt.linear_probe import Input, inputs
from harness.run.adapt.start import load_model
from harness.run.outputs import named_output
from harness.schema.errors import Exit
from harness.schema.protocols import LinearProbe
from harness.schema.protocols.linear_probe import CODE_RATES

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"
BOTH = "{linear_probe: {steps: 3}, knn: {k: [1, 3, 20]}}"


@pytest.fixture
def passed(monkeypatch):
    """Cases that passed an encoder for their vectors, in order."""
    seen = []
    through = vectors.through

    def counted(node, data, ids, *args, **kwargs):
        seen.extend(ids)
        return through(node, data, ids, *args, **kwargs)

    monkeypatch.setattr(vectors, "through", counted)
    return seen


def test_probes_of_one_encoder_share_its_vectors(tiny, passed):
    plan = tiny.plan(
        SIMMIM, protocols=BOTH, tasks="{nodules: }", budgets="2-shot, 100%"
    )
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    assert sorted(passed) == [f"case{i:02d}" for i in range(14)]  # each once
    (folder,) = (tiny.results / "cache/features").iterdir()
    about = json.loads((folder / "about.json").read_text())
    assert (tiny.results / about["cache"]).is_dir()
    for cell in plan.cells:
        rows = tiny.table(cell.evaluate_key, "predictions")
        assert rows.groupby("split", observed=True).size().to_dict() == {
            "test": 4, "val": 2,
        }  # fmt: skip
        assert np.stack(rows.scores).sum(axis=1) == pytest.approx(1)


def test_what_a_probe_predicts_is_what_its_network_says_of_the_image(tiny):
    plan = tiny.plan(SIMMIM, protocols=BOTH, tasks="{nodules: }")
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    for cell in plan.cells:
        network, shape = load_model(tiny.store, cell.adapt_key)
        rows = tiny.table(cell.evaluate_key, "predictions")
        with torch.no_grad():
            for row in rows.itertuples():
                image = picture(tiny, cell, row.case_id, shape.crop)
                found = network(image[None]).double().softmax(dim=1)[0]
                assert found.numpy() == pytest.approx(row.scores, abs=1e-5)


def picture(tiny, cell, case_id, crop):
    from harness.run.inference import centre_crop
    from harness.volumes.cache import open_cache

    cache = tiny.store.spec(cell.adapt_key)["where"]["cache"]["nodules"]
    folder = tiny.results / cache
    cached = open_cache(folder)
    unit = cached.to_unit(cached.image(cached.index_of(case_id)))
    return centre_crop(torch.from_numpy(unit), crop)


def test_the_grid_is_kept_with_both_sides(tiny):
    plan = tiny.plan(
        "random: {encoder: {kind: vit}}",
        protocols="{linear_probe: {steps: 3, lr: [0.1, 0.5]}}", tasks="{nodules: }",
    )  # fmt: skip
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    (cell,) = plan.cells
    grid = tiny.table(cell.adapt_key, "features")
    assert set(grid.layer) == {
        "blocks=1", "blocks=1 average", "blocks=2", "blocks=2 average",
    }  # fmt: skip
    assert set(grid.quantity) == {
        f"{what} lr={lr}" for what in ("val auc", "val loss", "train auc")
        for lr in ("0.1", "0.5")
    }  # fmt: skip
    assert set(grid[grid.quantity.str.startswith("val")].n) == {2}
    about = json.loads(tiny.store.file(cell.adapt_key, "model.json").read_text())
    name = f"blocks={about['chosen']['blocks']}"
    name += " average" if about["chosen"]["average"] else ""
    kept = grid[(grid.layer == name) & (grid.quantity == f"val auc lr={about['lr']:g}")]
    best = grid[grid.quantity.str.startswith("val auc")].value.max()
    assert kept.value.item() == best
    curves = tiny.table(cell.adapt_key, "curves")
    assert set(zip(curves.split, curves.quantity, strict=True)) == {
        ("train", "loss"), ("val", "score"), ("val", "loss"),
    }  # fmt: skip


def test_validation_and_test_stand_beside_each_other(tiny):
    plan = tiny.plan(protocols="{knn: {k: [1]}}", tasks="{nodules: }")
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    (cell,) = plan.cells
    table = tiny.table(cell.evaluate_key, "features").set_index("quantity")
    rows = tiny.table(cell.evaluate_key, "predictions")
    for side in ("val", "test"):
        own = rows[rows.split == side]
        want = auc(own.y_true.to_numpy(), np.stack(own.scores)).value
        assert table.value[f"{side} auc"] == pytest.approx(want)
        assert table.n[f"{side} auc"] == len(own)
    assert table.value["val - test auc"] == pytest.approx(
        table.value["val auc"] - table.value["test auc"]
    )


TANG = (
    "swin_unetr: {steps: 1, batch: 2, crop: [16, 16, 16], region: [20, 20, 20]},"
    " random: {protocols: [knn]}"
)
CODES = "{linear_probe: {steps: 3, output: %s}, knn: {k: [1]}}"


@pytest.fixture
def tang(tiny):
    for name in ("swin_unetr.py",):
        source = Path(__file__).resolve().parents[3] / "methods" / name
        tiny.bench.add(f"methods/{name}", source.read_text())
    return tiny


def test_a_head_that_the_method_keeps_is_probed(tang):
    plan = tang.plan(TANG, protocols=CODES % "contrast", tasks="{nodules: }")
    assert tang.run(tang.nodes(plan)) == Exit.DONE
    cell = next(each for each in plan.cells if each.protocol == "linear_probe")
    grid = tang.table(cell.adapt_key, "features")
    assert set(grid.layer) == {"blocks=1"}
    code = named_output(tang.store, cell.encoders[0], "contrast")
    run = tang.store.manifest(cell.adapt_key).run
    assert run["trainable_params"] == 2 * code.out_features + 2
    # Folded into one layer on image vectors: its rows are combinations of the code's.
    network, _ = load_model(tang.store, cell.adapt_key)
    rows = network.head.linear.weight.double()
    basis = code.weight.detach().double()
    assert code.out_features < code.in_features
    solved = torch.linalg.lstsq(basis.T, rows.T).solution
    assert torch.allclose(basis.T @ solved, rows.T, atol=1e-6)
    predictions = tang.table(cell.evaluate_key, "predictions")
    assert np.stack(predictions.scores).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("methods", "name", "sentence"),
    [
        (TANG, "contrasts", "has no output 'contrasts': it has contrast."),
        ("random: ", "contrast", "this method is not pretrained, so it keeps no head"),
    ],
)
def test_a_head_that_is_not_kept_is_told(tang, methods, name, sentence):
    plan = tang.plan(methods, protocols=CODES % name, tasks="{nodules: }")
    assert tang.run(tang.nodes(plan)) == Exit.FAILED
    cell = next(each for each in plan.cells if each.protocol == "linear_probe")
    record = tang.last(cell.adapt_key)
    assert record["error_class"] == "data"
    assert sentence in record["message"]


def test_the_scores_of_every_k_are_kept(tiny):
    plan = tiny.plan(
        protocols="{knn: {k: [1, 3, 20, 200]}}", tasks="{nodules: }",
        methods="random: {encoder: {kind: resnet}}",
    )  # fmt: skip
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    (cell,) = plan.cells
    table = tiny.table(cell.adapt_key, "features")
    assert set(table.quantity) == {
        f"val {what} k={k}" for what in ("auc", "accuracy") for k in (1, 3, 8)
    }  # fmt: skip
    assert tiny.store.manifest(cell.adapt_key).run["trainable_params"] == 0


def test_damaged_vectors_are_computed_anew(tiny, passed):
    plan = tiny.plan(protocols="{knn: {k: [1]}}", tasks="{nodules: }")
    adapt, evaluate = tiny.nodes(plan)
    assert tiny.run([adapt]) == Exit.DONE
    passed.clear()
    (folder,) = (tiny.results / "cache/features").iterdir()
    for path in folder.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert tiny.run([evaluate]) == Exit.DONE
    # The group that the evaluated cases lie in; the other one is not looked at.
    assert sorted(passed) == [f"case{i:02d}" for i in range(8, 14)]


def test_another_encoder_or_crop_has_vectors_of_its_own(tiny):
    wide = "{knn: {k: [1]}, wide: {extends: knn, k: [1], crop: [20, 20, 20]}}"
    plan = tiny.plan(protocols=wide, tasks="{nodules: }", seeds="0, 1")
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    assert len(list((tiny.results / "cache/features").iterdir())) == 4


def test_the_published_grid():
    paper = LinearProbe()
    assert len(paper.rates) * len(inputs(paper, has_class=True)) == 104
    assert inputs(LinearProbe(blocks=(1, 2)), has_class=False) == [
        Input(1, average=False), Input(2, average=False),
    ]  # fmt: skip
    released = LinearProbe(code_grid=True)
    assert released.rates == tuple(rate / 8 for rate in CODE_RATES)
    assert released.joined == (1, 4)


def test_a_probe_of_more_layers_than_there_are_is_refused(bench):
    text = (
        "tier: tiny\ncorpus: [organs]\nmethods: {masked: {encoder: {depths: [2, 2],"
        " heads: [1, 2]}}}\nprotocols: {linear_probe: {blocks: [1, 4]}}\n"
        "tasks: [nodules]\n"
    )
    assert [message for _, message in bench.mistakes(text)] == [
        "masked is run with linear_probe on nodules: blocks asks for the last 4 layers, "
        "and this swin has 3: the nearest is 3"
    ]
