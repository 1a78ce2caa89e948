"""A small benchmark without a store: records of cells and a reader that makes rows."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from harness.cli import main
from harness.matrix import load
from harness.plan import make_plan
from harness.report.evidence import Evidence
from harness.report.options import Options
from harness.report.scope import Scope, TaskFacts
from harness.report.tables import build
from harness.schema.task import TaskSpec
from harness.store import Store
from tests.conftest import Bench
from tests.report.filling import MATRIX, described_here, fill, findings_of_store


def spec(kind="segmentation", **changes):
    common = {
        "title": "t", "kind": kind, "modality": "CT", "cases": 100,
        "format": {"kind": "generated", "generator": "g"},
        "preprocess": {"intensity": {"kind": "percentiles"}},
        "crop": {"small": (32, 32, 32)},
        "source": {"page": "p", "licence": "l"},
    }  # fmt: skip
    if kind == "segmentation":
        common |= {"structures": {"liver": 1, "tumour": 2}, "metrics": ("dice", "hd95")}
    else:
        common |= {"target": {"name": "grade", "classes": ("x", "y", "z")}}
        common |= {"metrics": ("auc", "kappa")}
    return TaskFacts.of(TaskSpec.model_validate({**common, **changes}))


def records(tasks=("organs",), methods=("random", "mae"), seeds=(0, 1, 2), **changes):
    rows = [
        {
            "method": method, "encoder": "swin", "task": task, "protocol": "finetune",
            "label_budget": budget, "fold": 0, "seed": seed, "subset_seed": 0,
            "pretraining_seed": None if method == "random" else 0,
            "pretraining_key": None if method == "random" else f"p-{method}",
            "evaluate_key": f"{method}/{task}/{budget}/{seed}", "state": "done",
            "adapt_key": f"a-{method}/{task}/{budget}/{seed}",
        }
        for task in tasks
        for method in methods
        for budget in ("5-shot", "100%")
        for seed in seeds
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


@dataclass
class MadeReader:
    """mae beats random by 0.05, all labels beat 5-shot by 0.2; 20 cases."""

    cases: int = 20
    blind: tuple = ()
    charges: list = field(default_factory=list)
    missing: tuple = ()
    gpu_h: float = 0.5

    def _level(self, key):
        method, _, budget, _ = key.split("/")
        return 0.5 + 0.05 * (method == "mae") + 0.2 * (budget == "100%")

    def case_scores(self, keys, *, metric, charge, structure=None):
        self.charges.append(dict(charge))
        rng = np.random.default_rng(0)
        ease = rng.normal(size=self.cases) * 0.1
        rows = [
            {
                "cell": cell, "case_id": f"c{i}", "group_id": f"g{i}",
                "score": None if metric in self.blind else
                self._level(key) - 0.1 * (structure == "tumour") + ease[i]
                + rng.normal() * 0.005,
                "structures": 2, "misses": int(i == 0), "false_alarms": 2 * (i == 1),
                "failed": 0,
            }
            for cell, key in enumerate(keys)
            for i in range(self.cases)
        ]  # fmt: skip
        return pd.DataFrame(rows).astype({"score": "float64"})

    def predictions(self, keys, *, split="test"):
        rng = np.random.default_rng(0 if split == "test" else 1)
        y = np.arange(60) % 3
        if "auc" in self.blind:
            y = y * 0
        rows = []
        for cell, key in enumerate(keys):
            scores = rng.dirichlet(np.ones(3), 60)
            scores[np.arange(60), y] += self._level(key)
            rows += [
                {
                    "cell": cell, "case_id": f"c{i}", "group_id": f"g{i}",
                    "y_true": y[i], "scores": scores[i] / scores[i].sum(),
                }
                for i in range(60)
            ]  # fmt: skip
        return pd.DataFrame(rows)

    def validated(self, _keys):
        """No adaptation was validated while it ran."""
        return pd.DataFrame(columns=["cell", "step", "wall_s", "value"])

    def measured(self, keys):
        """Pretrainings take an hour, adaptations 2 minutes, evaluations 1."""
        wall = {"p": 3600.0, "a": 120.0}
        found = pd.DataFrame({"key": [key for key in keys if key not in self.missing]})
        kind = found.key.str[:2].map({"p-": "p", "a-": "a"})
        return found.assign(
            wall_s=kind.map(wall).fillna(60.0), gpu_h=self.gpu_h, peak_mem=2e9,
            peak_gpu_mem=np.nan, n_train=5.0, encoder_params=np.nan,
            trainable_params=np.where(kind == "a", 1234.0, np.nan),
        )  # fmt: skip


def evidence(cells, reader, tasks, *, available=None, **options):
    cells = cells.assign(**({} if "tier" in cells else {"tier": "small"}))
    scope = Scope("bench", cells, tasks, available or {})
    return Evidence(scope, reader, Options(**options))


@pytest.fixture
def make_evidence():
    return evidence


@pytest.fixture
def make_table():
    """Build a table of a metric from cells, a reader and tasks."""

    def made(metric, cells, reader, tasks, *, kind="scores", **options):
        return build(metric, evidence(cells, reader, tasks, **options), kind=kind)

    return made


@pytest.fixture
def make_cells():
    return records


@pytest.fixture
def make_spec():
    return spec


@pytest.fixture
def make_reader():
    return MadeReader


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A finished benchmark, reported once: its folder, its page and its findings."""
    folder = tmp_path_factory.mktemp("shared")
    with described_here(folder):
        bench = Bench(folder / "bench")
        bench.write(MATRIX)
        store = Store(bench.root / "results")
        fill(make_plan(load(bench.path), None), store, gpu_h=0.5)
        assert main(["-b", str(bench.path), "report"]) == 0
        findings = findings_of_store(load(bench.path), store)
    page = bench.root / "reports" / "benchmark" / "index.html"
    return SimpleNamespace(folder=folder, bench=bench, page=page, findings=findings)


@pytest.fixture
def tasks(make_spec):
    """A segmentation and a classification."""
    return {"organs": make_spec(), "nodules": make_spec("classification")}


@pytest.fixture(name="evidence")
def evidence_of_two_tasks(make_evidence, make_cells, make_reader, tasks):
    """Scores of three methods on both tasks."""
    cells = make_cells(tasks=tuple(tasks), methods=("random", "mae", "simmim"))
    return make_evidence(cells, make_reader(), tasks, draws=200)
