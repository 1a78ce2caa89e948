"""How long a plan of 100,000 cells takes, with nothing and with half published.

    python benchmarks/plan.py [CELLS]

Each plan is made in a fresh process on a folder of its own; time and peak memory are those
of planning, torch must not be imported. The goal is 5 s and 500 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

GOAL_S, GOAL_MB = 5.0, 500.0
ROOT = Path(__file__).resolve().parents[1]
# Half a million small files: in memory where there is such a place, since making and
# deleting them on a disk takes many times longer than what is measured.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
BUDGETS = ["5-shot", "10%", "25%", "50%", "100%"]

METHOD = '''"""One of many."""
from typing import ClassVar

from harness.api import Method, MethodSettings


class Settings(MethodSettings):
    """Settings."""

    width: int = 1


class Many(Method):
    """One of many."""

    Settings = Settings
    version: ClassVar[int] = 1
'''
GENERATOR = '''"""Cases without voxels."""
from harness.schema.cases import CaseRef


def cases(seed):
    """List the cases."""
    sides = ["train"] * 7 + ["val"] + ["test"] * 2
    return [
        CaseRef(f"c{i:04d}", f"p{i:04d}", target=i % 2, side=sides[i // 2 % 10], stamp="1")
        for i in range(400)
    ]


def make(case, seed):
    """Make nothing."""
    raise NotImplementedError
'''
TASK = """title: Task
kind: classification
modality: none
format: {{kind: generated, generator: many, seed: {seed}}}
cases: 400
target: {{name: x, classes: [a, b]}}
preprocess: {{intensity: {{kind: window, low: 0, high: 1}}}}
crop: {{tiny: [16, 16, 16]}}
split: {{kind: publisher}}
metrics: [auc]
source: {{page: none, licence: none}}
"""

MEASURE = """
import json, resource, sys, time
from pathlib import Path
start = time.perf_counter()
from harness.matrix import load
from harness.plan import make_plan
from harness.store import Store
matrix = load(Path(sys.argv[1]))
loaded = time.perf_counter()
plan = make_plan(matrix, Store(Path(sys.argv[2])))
document = plan.to_json()
end = time.perf_counter()
cpu = time.process_time()
assert "torch" not in sys.modules
jobs = len(plan.jobs())
print(json.dumps({
    "imports and matrix": loaded - start, "plan": end - loaded,
    "total": end - start, "cpu": cpu, "with jobs": time.perf_counter() - start,
    "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "cells": document["cells"], "done": document["done"], "jobs": jobs}))
"""


def make_benchmark(root: Path, cells: int, draw: str) -> Path:
    """Write a folder of content with a matrix of about `cells` cells."""
    methods, tasks = 20, 10
    seeds = cells // (methods * tasks * len(BUDGETS))
    for folder in ("methods", "tasks"):
        (root / folder).mkdir(parents=True)
    (root / "methods" / "many.py").write_text(METHOD)
    (root / "tasks" / "many.py").write_text(GENERATOR)
    for i in range(tasks):
        (root / "tasks" / f"task{i}.yaml").write_text(TASK.format(seed=i))
    entries = "".join(
        f"  m{i}: {{extends: many, width: {i + 1}}}\n" for i in range(methods)
    )
    path = root / "benchmark.yaml"
    path.write_text(
        f"tier: tiny\ncorpus: [task0]\nmethods:\n{entries}protocols: [linear_probe]\n"
        f"tasks: [{', '.join(f'task{i}' for i in range(tasks))}]\n"
        f"label_budgets: {json.dumps(BUDGETS)}\nseeds: {list(range(seeds))}\n"
        f"subset_draw: {draw}\n"
    )
    return path


def publish(path: Path, results: Path, share: float) -> int:
    """Publish all pretrainings and the first `share` of the cells, straight as files."""
    from harness.matrix import load
    from harness.plan import make_plan
    from harness.store import Manifest, Store
    from harness.store.records import FileEntry

    plan = make_plan(load(path))
    Store(results).create()
    cells = plan.cells[: int(len(plan.cells) * share)]
    kinds = {key: "pretrain" for key in plan.pretrainings}
    kinds |= {cell.adapt_key: "adapt" for cell in cells}
    kinds |= {cell.evaluate_key: "evaluate" for cell in cells}
    for key, kind in kinds.items():
        shard, name = key[:2], key[:16]
        folder = results / "nodes" / shard / name / "attempts" / "1"
        folder.mkdir(parents=True)
        (folder / "out.parquet").write_bytes(b"12345678")
        done = results / "done" / shard
        done.mkdir(parents=True, exist_ok=True)
        manifest = Manifest(
            key=key, kind=kind, attempt="1", published="2026-01-01T00:00:00Z",
            files={"out.parquet": FileEntry(8, "0" * 64)},
            labels={"method": "m0"}, run={"wall_s": 10.0},
        )  # fmt: skip
        (done / f"{name}.json").write_bytes(manifest.to_bytes())
    return len(cells)


def measure(path: Path, results: Path) -> dict[str, float]:
    """Return seconds, MB and counts of one plan in a fresh process."""
    command = [sys.executable, "-c", MEASURE, str(path), str(results)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    good = True
    for draw in ("fixed", "per_seed"):
        with tempfile.TemporaryDirectory(prefix="plan-", dir=MEMORY) as folder:
            path = make_benchmark(Path(folder) / "bench", cells, draw)
            results = Path(folder) / "results"
            first = measure(path, results)  # a child describes the methods; cached
            print(f"subset_draw {draw}: first plan ever {first['total']:.2f} s")
            good &= shown("empty store", measure(path, results))
            published = publish(path, results, 0.5)
            measure(path, results)  # indexes the manifests
            good &= shown(f"{published:,} cells published", measure(path, results))
    print(f"goal: {GOAL_S:g} s and {GOAL_MB:g} MB: {'met' if good else 'missed'}")
    return int(not good)


def shown(name: str, row: dict[str, float]) -> bool:
    """Print one measurement and tell whether it meets the goal."""
    print(
        f"  {row['cells']:,} cells, {name}: {row['total']:.2f} s wall, "
        f"{row['cpu']:.2f} s CPU (imports and matrix {row['imports and matrix']:.2f}, "
        f"plan {row['plan']:.2f}; with jobs {row['with jobs']:.2f}), "
        f"{row['MB']:.0f} MB, {row['done']:,} done"
    )
    return row["total"] < GOAL_S and row["MB"] < GOAL_MB


if __name__ == "__main__":
    sys.exit(main())
