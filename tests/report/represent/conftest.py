"""A benchmark whose analyses are published with made-up rows."""

from types import SimpleNamespace

import pytest

from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
from tests.conftest import Bench
from tests.report.filling import described_here, fill, findings_of_store
from tests.report.represent.made import measure

MATRIX = """
title: What encoders learned
tier: tiny
corpus: toys
methods:
  plain:
  masked:
  harder: {extends: masked, mask_ratio: 75%}
protocols: {finetune: {steps: 7}}
tasks: [organs]
label_budgets: [5-shot, 100%]
seeds: [0, 1, 2]
analyses:
  reuse: {samples: 32, batch: 8}
  similarity: {samples: 32, batch: 8, between: [budgets, seeds, methods]}
  attention: {samples: 8, batch: 2}
  embedding: {planes: [tsne]}
  pca:
"""


@pytest.fixture(scope="package")
def measured(tmp_path_factory):
    """A finished benchmark with its analyses: its folder, store, plan and findings."""
    folder = tmp_path_factory.mktemp("measured")
    with described_here(folder):
        bench = Bench(folder / "bench")
        bench.write(MATRIX)
        store = Store(bench.root / "results")
        matrix = load(bench.path)
        plan = make_plan(matrix, None)
        fill(plan, store)
        measure(plan, store)
        yield SimpleNamespace(
            bench=bench, store=store, plan=plan, matrix=matrix,
            findings=findings_of_store(matrix, store),
        )  # fmt: skip
