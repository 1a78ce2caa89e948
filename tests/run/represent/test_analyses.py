"""Analyses as nodes of a plan: run beside cells, found, and wrong ones in one sentence."""

import json
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.run.node import Node
from harness.run.represent import transfer
from harness.schema.errors import DataError
from harness.store import Store

ROOT = Path(__file__).resolve().parents[3]
TEXT = """
tier: tiny
content: [{root}]
methods: [random]
protocols: {{finetune: {{steps: 1, warmup: 0, val_every: 1, overlap: 0}}}}
tasks:
  phantom_organs:
    cases: 8
    format: {{settings: {{train: 3, val: 1, test: 4}}}}
    preprocess: {{spacing: [8, 8, 10]}}
label_budgets: [2-shot, 100%]
analyses:
  reuse: {{samples: 4, batch: 4, label_budgets: [2-shot]}}
  similarity: {{samples: 4, batch: 4, between: [budgets]}}
  attention: {{samples: 2, label_budgets: [2-shot]}}
  transfer: {{samples: 4}}
  pca: {{samples: 4}}
  embedding: {{samples: 4, planes: [tsne]}}
  lost: {{extends: reuse, samples: 4, batch: 4, layers: [stage1.blok1],
         label_budgets: [2-shot]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("analyses")
    path = home / "benchmark.yaml"
    path.write_text(dedent(TEXT.format(root=ROOT)))
    code = main(["-b", str(path), "--results", str(home / "results"), "run",
                 "--cluster", "inline"])  # fmt: skip
    return path, Store(home / "results"), code


def _rows(store, plan, name):
    import pyarrow.parquet as pq

    found = []
    for one in plan.analyses:
        if one.name == name:
            table = pq.read_table(store.file(one.key, "features.parquet"))
            found += table.to_pylist()
    return found


def test_nodes_wait_for_adaptations_and_are_done_beside_a_wrong_one(folder):
    path, store, code = folder
    plan = make_plan(load(path), store)
    assert code == 1  # the layer that does not exist
    assert [one.name for one in plan.analyses_todo] == ["lost"]
    names = [one.name for one in plan.analyses]
    assert names == [
        "reuse", "similarity", "attention", "transfer", "pca", "embedding", "lost",
    ]  # fmt: skip
    assert not plan.todo


def test_reuse_is_one_where_nothing_changed_and_the_whole_map_is_there(folder):
    path, store, _ = folder
    rows = _rows(store, make_plan(load(path), store), "reuse")
    diagonal = {r["layer"]: r["value"] for r in rows if r["quantity"] == "cka"}
    assert diagonal["stem"] > 0.9  # one step of fine-tuning
    assert {"stage1.block1", "stage1.merge", "decoder.up1"} <= set(diagonal)
    assert "stem | stage1.block1" in diagonal
    assert all(row["n"] == 4 for row in rows)


def test_attention_is_there_before_and_after(folder):
    path, store, _ = folder
    rows = _rows(store, make_plan(load(path), store), "attention")
    states = {row["layer"].split(".")[0] for row in rows}
    assert states == {"before", "after"}


def test_transfer_measures_vectors_and_heads_once(folder):
    path, store, _ = folder
    rows = _rows(store, make_plan(load(path), store), "transfer")
    found = {row["quantity"]: row["value"] for row in rows}
    assert len(rows) == len(found) == 6  # of one cell; no classes, so no neighbours
    assert 1 <= found["effective_rank"] <= 3
    assert 1 <= found["rankme"] <= 4
    assert 0 < found["attention_entropy_share"] <= 1
    assert {r["n"] for r in rows if r["layer"] == "pooled"} == {4}


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("choose_crops", lambda *_: [None] * 3,
         "the 4 test cases of phantom_organs give 3 crops, and 4 or more have a spectrum"),
        ("batches", lambda *_: [torch.full((4, 1, 32, 32, 32), torch.nan)],
         "the encoder gives vectors that are not finite on phantom_organs"),
    ],
)  # fmt: skip
def test_what_has_no_spectrum_is_said_in_one_sentence(
    folder, monkeypatch, part, value, said
):
    path, store, _ = folder
    plan = make_plan(load(path), store)
    one = next(each for each in plan.analyses if each.name == "transfer")
    node = Node(store, store.spec(one.key), SimpleNamespace(log=path.parent / "log"),
                torch.device("cpu"))  # fmt: skip
    monkeypatch.setattr(f"harness.run.represent.transfer.{part}", value)
    with pytest.raises(DataError, match=said):
        transfer.analyse(node)


def test_small_arrays_carry_the_names_of_layers(folder):
    path, store, _ = folder
    plan = make_plan(load(path), store)
    one = next(each for each in plan.analyses if each.name == "similarity")
    with np.load(store.file(one.key, "cka.npz")) as arrays:
        assert arrays["cka"].shape == (len(arrays["rows"]), len(arrays["columns"]))
    assert store.manifest(one.key).labels["against"] == "label_budget=100%"


def test_a_layer_that_does_not_exist_is_named_with_its_nearest(folder, capsys):
    path, store, _ = folder
    words = ["-b", str(path), "--results", str(store.root)]
    assert main([*words, "why", "lost"]) in (0, 1)
    said = capsys.readouterr().out
    assert "no layer 'stage1.blok1'" in said
    assert "Did you mean 'stage1.block1'?" in said
    assert main([*words, "status", "--json"]) == 1
    states = json.loads(capsys.readouterr().out)["analyses"]
    assert {one["analysis"]: one["state"] for one in states}["lost"] == "failed"


def test_planning_again_finds_them_published(folder):
    path, store, _ = folder
    words = ["-b", str(path), "--results", str(store.root)]
    jobs = make_plan(load(path), store).jobs()
    assert [job.kind for job in jobs] == ["analyse"]
    assert main([*words, "plan", "--json"]) == 0


def test_components_are_kept_with_the_volumes_that_they_colour(folder):
    path, store, _ = folder
    plan = make_plan(load(path), store)
    rows = {row["quantity"]: row for row in _rows(store, plan, "pca")}
    shares = [rows[f"variance of component {n}"]["value"] for n in range(1, 5)]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert 0 < rows["foreground"]["value"] < 1
    one = next(each for each in plan.analyses if each.name == "pca")
    with np.load(store.file(one.key, "pca.npz")) as arrays:
        # The volumes are no larger than a crop, so neither is what is shown of them.
        assert arrays["images"].shape == (4, 32, 32, 32)
        assert arrays["images"][:, 16].any(axis=(1, 2)).all()
        assert arrays["joint"].shape == arrays["alone"].shape
        assert arrays["joint"].shape[-1] == 3
        assert len(arrays["case_ids"]) == 4


def test_planes_without_classes_have_points_alone(folder):
    path, store, _ = folder
    plan = make_plan(load(path), store)
    assert {row["quantity"] for row in _rows(store, plan, "embedding")} == {"spread"}
    one = next(each for each in plan.analyses if each.name == "embedding")
    with np.load(store.file(one.key, "planes.npz")) as arrays:
        assert arrays["tsne"].shape == (2, 4, 2)
        assert set(arrays["classes"]) == {-1}
        assert not np.array_equal(*arrays["tsne"])
