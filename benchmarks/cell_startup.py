"""How long a cell takes before its first step, beyond imports.

    python benchmarks/cell_startup.py

A pretrained Swin of the published size (METHODS 0: width 48, depths 2, 2, 8, 2) is
published once and the cache of a task is built. Then a fresh process runs one adaptation
of it with one step: it opens the store, the data and the checkpoint, builds the network,
takes the step, validates and publishes. The times of imports and of all the rest are
told apart; the goal is 5 s for what comes before the first step. torch imports its
compiler with the first optimiser, whether it is used or not: that counts as an import.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOAL_S = 5.0
RUNS = 3
BENCHMARK = """
tier: tiny
corpus: [phantom_nodules]
methods:
  simmim:
    encoder: {width: 48, depths: [2, 2, 8, 2], heads: [4, 4, 8, 16], window: 4}
    steps: 1
protocols:
  finetune: {steps: 1, batch: 2}
tasks:
  phantom_nodules: {protocols: [finetune]}
label_budgets: [100%]
seeds: [SEEDS]
"""
# Runs one node in a fresh process and prints what its parts took.
ONE_NODE = """
import json, sys, time
start = time.perf_counter()
from harness.run import cell
from harness.run.adapt import finetune
from harness.run.training import Training
import torch._dynamo
imported = time.perf_counter()
first = []
run = Training.run
def timed(self, objective, after_step):
    first.append(time.perf_counter())
    return run(self, objective, after_step)
Training.run = timed
code = cell.run_nodes(sys.argv[1], [sys.argv[2]], threads=1)
assert code == 0, code
done = time.perf_counter()
print(json.dumps([imported - start, first[0] - imported, done - first[0]]))
"""


def prepare(folder: Path) -> tuple[Path, list[str]]:
    """Plan, pretrain, build the cache; return the results folder and adapt nodes."""
    from harness.matrix import load
    from harness.plan import make_plan
    from harness.run.cell import run_nodes
    from harness.store import Store

    path = folder / "benchmark.yaml"
    seeds = ", ".join(str(seed) for seed in range(RUNS + 1))
    text = f"content: [{ROOT}]\n{BENCHMARK.replace('SEEDS', seeds)}"
    path.write_text(text)
    results = folder / "results"
    store = Store(results)
    plan = make_plan(load(path), store)
    plan.write_specs(store, plan.jobs())
    keys = [key for job in plan.jobs() for key in job.nodes]
    kinds = {key: store.spec(key)["kind"] for key in keys}
    adapts = [key for key in keys if kinds[key] == "adapt"]
    pretrains = [key for key in keys if kinds[key] == "pretrain"]
    assert run_nodes(str(results), [*pretrains, adapts[0]], threads=1) == 0
    return results, adapts[1:]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        results, adapts = prepare(Path(folder))
        found = []
        for key in adapts:
            command = [sys.executable, "-c", ONE_NODE, str(results), key]
            said = subprocess.run(
                command, check=True, capture_output=True, text=True, cwd=ROOT
            )
            found.append(json.loads(said.stdout.splitlines()[-1]))
    imports, start, rest = (
        statistics.median(each) for each in zip(*found, strict=True)
    )
    print(f"imports                                    {imports:6.2f} s")
    print(
        f"store, data, encoder, network to the step  {start:6.2f} s   (goal {GOAL_S} s)"
    )
    print(f"the step, validation, publishing           {rest:6.2f} s")
    return int(start > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
