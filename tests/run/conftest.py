"""A tiny benchmark whose data is painted here, with the methods of this checkout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.plan import make_plan
from harness.run.cell import run_nodes
from harness.store import Store
from harness.store.tables import read_tables

ROOT = Path(__file__).resolve().parents[2]
PAINTER = '''
import numpy as np

from harness.schema.cases import CaseRef
from harness.volumes.raw import RawCase


def cases(seed: int, *, count: int = 14, classes: int = 0, channels: int = 1):
    sides = ["train"] * 4 + ["val"] + ["test"] * 2
    return [
        CaseRef(
            f"case{i:02d}",
            f"patient{i:02d}",
            target=i % classes if classes else None,
            side=sides[i // 2 % 7],
            stamp="1",
        )
        for i in range(count)
    ]


def make(case, seed: int, *, count: int = 14, classes: int = 0, channels: int = 1):
    """A ball (1) and a plate (2) in noise; the ball is brighter in class 1."""
    rng = np.random.default_rng(int(case.case_id[4:]))
    grid = np.indices((20, 24, 18)).astype(float)
    middle = np.array([9, 11, 9]) + rng.uniform(-2, 2, 3)
    away = np.sqrt(((grid - middle[:, None, None, None]) ** 2).sum(axis=0))
    label = (away < 5).astype(np.uint8)
    label[1:3] = 2
    glow = 0.5 + 0.4 * (case.target or 0)
    image = rng.normal(0.2, 0.05, label.shape) + 0.3 * (label == 2)
    image += glow * (label == 1)
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    seen = None if case.target is not None else label
    image = np.stack([image / (n + 1) for n in range(channels)])
    return RawCase(image.astype(np.float32), seen, affine)
'''
BENCHMARK = """
tier: tiny
corpus: painted
methods: {{{methods}}}
protocols: {protocols}
tasks: {tasks}
label_budgets: [{budgets}]
seeds: [{seeds}]
"""


class TinyRun:
    """A content folder, a results folder, and what it takes to run one in the other."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        for path in bench.root.glob("methods/*"):
            path.unlink()
        for name in ("random", "simmim", "smit", "dvme"):
            source = ROOT / "methods" / f"{name}.py"
            bench.add(f"methods/{name}.py", source.read_text())
        bench.add("tasks/toy.py", PAINTER)
        for name in ("organs", "nodules"):
            path = bench.root / "tasks" / f"{name}.yaml"
            path.write_text(path.read_text().replace("cases: 20", "cases: 14"))
        for name, base in (("pairs", "organs"), ("graded_pairs", "nodules")):
            text = (bench.root / f"tasks/{base}.yaml").read_text()
            text = text.replace("channels: [a]", "channels: [a, b]")
            text = text.replace("settings: {", "settings: {channels: 2, ")
            bench.add(f"tasks/{name}.yaml", text.replace("2, }", "2}"))
        bench.add("corpora/painted.yaml", "title: T\nsources: [{task: organs}]\n")
        self.results = bench.root / "results"
        self.store = Store(self.results)

    def plan(
        self,
        methods: str = "random: ",
        *,
        protocols: str = "{finetune: {}}",
        tasks: str = "{organs: }",
        budgets: str = "100%",
        seeds: str = "0",
        more: str = "",
    ) -> Any:
        """Plan a matrix, with `more` lines, and write the specs of what is missing."""
        text = BENCHMARK.format(
            methods=methods, protocols=protocols, tasks=tasks, budgets=budgets,
            seeds=seeds,
        )  # fmt: skip
        plan = make_plan(self.bench.load(text + more), self.store)
        plan.write_specs(self.store, plan.jobs())
        return plan

    def nodes(self, plan: Any) -> list[str]:
        """Return the missing nodes of a plan, inputs first."""
        return [key for job in plan.jobs() for key in job.nodes]

    def run(self, keys: Sequence[str], *, results: Path | None = None) -> int:
        return run_nodes(str(results or self.results), keys, threads=1)

    def table(self, key: str, name: str) -> Any:
        path = self.store.file(key, f"{name}.parquet")
        return read_tables(name, [path]).to_pandas()

    def last(self, key: str) -> dict[str, Any]:
        return self.store.attempts(key)[-1]


@pytest.fixture
def tiny(bench) -> TinyRun:
    return TinyRun(bench)
