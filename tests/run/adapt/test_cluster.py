"""Protocol cluster, from a plan to what it measures."""

import importlib.util

import numpy as np
import pytest

from harness.schema.errors import Exit

TEXT = (
    "tier: tiny\ncorpus: [organs]\nmethods: [plain]\nprotocols: [cluster]\n"
    "tasks: [nodules]\n"
)


def test_a_cell_measures_all_its_cases_in_both_spaces(tiny):
    pytest.importorskip("umap", reason="an extra", exc_type=ImportError)
    plan = tiny.plan(protocols="[cluster]", tasks="{nodules: }")
    adapt, evaluate = tiny.nodes(plan)
    assert tiny.run([adapt, evaluate]) == Exit.DONE
    table = tiny.table(evaluate, "features")
    assert set(table.layer) == {"pooled", "umap seed=0", "umap seed=1"}
    found = table[table.layer == "pooled"].set_index("quantity")
    assert set(found.index) == {
        "intra-class distance", "intra-class distance sd", "inter-class distance",
        "inter-class distance sd", "silhouette", "nmi",
    }  # fmt: skip
    assert found.n["intra-class distance"] == 14
    assert found.n["inter-class distance"] == 1  # two classes
    assert found.value["inter-class distance"] > 0
    with np.load(tiny.store.file(evaluate, "planes.npz")) as planes:
        assert planes["points"].shape == (2, 14, 2)
        assert not np.allclose(*planes["points"])
    rows = tiny.table(evaluate, "predictions")
    assert np.stack(rows.scores).sum(axis=1) == pytest.approx(1)


def test_without_umap_it_is_refused(bench, monkeypatch):
    honest = importlib.util.find_spec
    monkeypatch.setattr(
        "harness.schema.protocols.cluster.find_spec",
        lambda name: None if name == "umap" else honest(name),
    )
    assert [message for _, message in bench.mistakes(TEXT)] == [
        "plain is run with cluster on nodules: it needs umap-learn: "
        "pip install 'medssl-bench[cluster]'"
    ]
