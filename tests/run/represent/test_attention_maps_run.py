"""The analysis `attention_maps` through the command line."""

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store

ROOT = Path(__file__).resolve().parents[3]
TEXT = """
tier: tiny
content: [{root}]
methods:
  random: {{encoder: {{kind: swin, semantic_attention: {{}}}}}}
protocols: {{finetune: {{steps: 1, warmup: 0, val_every: 1, overlap: 0}}}}
tasks:
  phantom_organs:
    cases: 5
    format: {{settings: {{train: 2, val: 1, test: 2}}}}
    preprocess: {{spacing: [8, 8, 10]}}
label_budgets: [100%]
analyses:
  attention_maps: {{pictures: 1}}
  rollout: {{extends: attention_maps, of: rollout}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = tmp_path_factory.mktemp("maps")
    path = home / "benchmark.yaml"
    path.write_text(dedent(TEXT.format(root=ROOT)))
    words = ["-b", str(path), "--results", str(home / "results")]
    assert main([*words, "run", "--cluster", "inline"]) == 0
    return words, path, Store(home / "results")


def test_scores_of_every_case_and_slices_of_the_first(finished):
    _, path, store = finished
    maps, rollout = make_plan(load(path), store).analyses
    with np.load(store.file(maps.key, "attention_maps.npz")) as arrays:
        assert len(arrays["cases"]) == 2
        scores = arrays["after.attention_auc"]
        assert scores.shape[0] == 2
        assert scores.shape[1] > 2  # the mean and two heads or more
        assert ((scores >= 0) & (scores <= 1)).all()
        assert 0 < arrays["inside"].mean() < 1
        names = list(arrays["structures"])
        of_parts = arrays["before.attention_auc.structures"]
        assert {"liver", "spleen"} <= set(names)
        assert of_parts.shape == arrays["inside.structures"].shape == (2, len(names))
        there = arrays["inside.structures"] > 0
        assert (np.isfinite(of_parts) == there).all()
        assert arrays["inside.structures"].sum(axis=1) == pytest.approx(
            arrays["inside"]
        )
        assert arrays["before.0_0"].shape == arrays["0_0_mask"].shape
        assert "1_0_image" not in arrays
    with np.load(store.file(rollout.key, "attention_maps.npz")) as arrays:
        assert arrays["after.attention_auc"].shape == (2, 1)


def test_the_report_has_a_table_and_pictures(finished, tmp_path, capsys):
    words, *_ = finished
    assert main([*words, "report", "--table", "attention-maps"]) == 0
    said = capsys.readouterr().out
    assert "before fine-tuning" in said
    assert "AUC inside" in said
    assert main([*words, "report", "--table", "attention-maps-by-structure"]) == 0
    assert "spleen" in capsys.readouterr().out
    assert main([*words, "report", "--table", "attention-maps-differences"]) == 0
    assert "itself before fine-tuning" in capsys.readouterr().out
    name = "attention_maps_phantom_organs_finetune_1"
    out = ["--images", "--out", str(tmp_path)]
    assert main([*words, "report", "--figure", name, *out]) == 0
    (picture,) = tmp_path.rglob(f"{name}.png")
    assert picture.stat().st_size > 5000
    assert {"auc", "state"} <= set(np.genfromtxt(
        picture.with_suffix(".csv"), delimiter=",", names=True, dtype=None,
        encoding="utf8").dtype.names)  # fmt: skip
