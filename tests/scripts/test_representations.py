"""The page of what encoders learnt: the square's contrasts, blocks, pictures."""

import importlib
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
from tests.conftest import Bench
from tests.report.filling import described_here, fill
from tests.report.represent.made import BATCHES, STAGES, entropy_of, measure

ROOT = Path(__file__).parents[2]
SQUARE = ("smit", "dagman_noisy_only", "dagman_attention_only", "dagman")
SEEDS = (0, 1, 2)
MATRIX = """
title: What encoders learned
tier: tiny
corpus: toys
methods:
  smit: {extends: masked}
  dagman_noisy_only: {extends: masked, mask_ratio: 70%}
  dagman_attention_only: {extends: masked, mask_ratio: 75%}
  dagman: {extends: masked, mask_ratio: 80%}
protocols: {finetune: {steps: 7}}
tasks: [phantom_organs]
label_budgets: [5-shot, 100%]
seeds: [0, 1, 2]
pretraining_seeds: paired
analyses:
  attention: {samples: 8, batch: 2}
  reuse: {samples: 32, batch: 8}
  pca:
"""


@pytest.fixture(scope="module")
def scripts():
    """Return the scripts of the page, which import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield SimpleNamespace(
            **{
                name: importlib.import_module(name)
                for name in ("representations", "runs", "square")
            }
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Return a benchmark of the four corners of which nothing is published yet."""
    folder = tmp_path_factory.mktemp("square")
    with described_here(folder):
        bench = Bench(folder)
        organs = (folder / "tasks/organs.yaml").read_text()
        bench.add("tasks/phantom_organs.yaml", organs)
        bench.write(MATRIX)
        yield bench


@pytest.fixture(scope="module")
def done(bench):
    """Return the results folder of the same with everything published."""
    store = Store(bench.root / "results")
    plan = make_plan(load(bench.path), None)
    fill(plan, store)
    measure(plan, store)
    return store.root


def effect(weights, stage):
    """Return a contrast by its definition, mean over batches and seeds."""
    return np.mean(
        [
            sum(
                weight
                * entropy_of(SQUARE.index(name), seed, STAGES.index(stage), batch)
                for name, weight in weights.items()
            )
            for seed in SEEDS
            for batch in range(BATCHES)
        ]
    )


def test_contrasts_of_the_square_are_paired_by_crop_and_seed(scripts, bench, done):
    run = scripts.runs.Run.of(bench.path, done)
    found = list(scripts.square.squares(scripts.representations.heads_of(run)))
    assert [one.labels for one in found] == ["before fine-tuning", "5-shot", "100%"]
    assert [one.counted for one in found] == [f"{BATCHES} x 3"] * 3
    for name, weights in scripts.square.CONTRASTS.items():
        assert sum(weights.values()) == 0, name
        want = [effect(weights, stage) for stage in STAGES]
        quantity = "attention_entropy_share_mean"
        for one in found:
            whole = one.contrast(weights, quantity, one.names)
            assert whole.value == pytest.approx(np.mean(want))
            single = one.contrast(weights, quantity, ["stage2"])
            assert single.value == pytest.approx(want[1])
            # Crops differ by 0.02 and cancel; what is left of runs is 0.002.
            assert single.spread < 0.005 < 0.02 / BATCHES**0.5
    noise = scripts.square.CONTRASTS["noisy teacher, main effect"]
    assert effect(noise, "stage1") == pytest.approx(0.04, abs=0.004)


def test_a_corner_that_is_missing_leaves_the_square_open(scripts, bench, done):
    run = scripts.runs.Run.of(bench.path, done)
    heads = [
        one for one in scripts.representations.heads_of(run) if one.method != "dagman"
    ]
    assert not list(scripts.square.squares(heads))
    assert scripts.square.answer(heads) == [scripts.runs.NOTHING]


def test_a_run_without_results_says_so(scripts, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(scripts.representations, "FILE", bench.path)
    blocks = scripts.representations.document(tmp_path)
    assert "0 of 24 cells, 0 of 60 analyses, no seed is whole" in blocks["state"][0]
    assert all(
        blocks[name] == [scripts.runs.NOTHING] for name in blocks if name != "state"
    )


def test_a_seed_whose_analyses_are_missing_is_not_whole(scripts, bench, tmp_path):
    store = Store(tmp_path)
    plan = make_plan(load(bench.path), None)
    fill(plan, store, skip=lambda cell: cell.seed == 2)
    measure(plan, store, skip=lambda one: one.cells[0].seed != 0)
    run = scripts.runs.Run.of(bench.path, tmp_path)
    assert run.seeds == (0,)
    assert {cell.seed for cell in run.plan.cells} == {0}


def test_the_page_is_written_with_its_pictures(
    scripts, bench, done, tmp_path, monkeypatch
):
    page = tmp_path / "representations.md"
    shutil.copy(scripts.representations.DOCUMENT, page)
    monkeypatch.setattr(scripts.representations, "FILE", bench.path)
    monkeypatch.setattr(scripts.representations, "PICTURES", page.with_suffix(""))
    argv = ["representations.py", "--results", str(done), "--write"]
    monkeypatch.setattr("sys.argv", argv)
    assert (
        scripts.representations.main(
            "about", page, scripts.representations.document,
            scripts.representations.draw_pictures,
        )
        == 0
    )  # fmt: skip
    text = page.read_text()
    assert "24 of 24 cells, 60 of 60 analyses, seeds shown: 0, 1, 2" in text
    assert "| phantom_organs | 100% | interaction |" in text
    shown = re.findall(r"\]\((representations/.*?\.png)\)", text)
    assert len(shown) == 4
    there = sorted(path.name for path in page.with_suffix("").iterdir())
    assert there == sorted(Path(one).name for one in shown)
