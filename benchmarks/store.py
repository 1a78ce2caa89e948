"""The store and `status` at 10,000 cells: collecting, verifying, looking.

    python benchmarks/store.py [--cells 10000] [--json]

Collecting: published nodes with 800 case rows each become one file; beside it, in the
same run, DuckDB's own COPY of the same files into one, which checks nothing. Looking: the
command `harness status` of a matrix of so many cells, half of them published, a fifth
failed, a fifth queued in SLURM (a `squeue` of our own answers) and the rest not started.
Every figure is of a fresh process. Aims: collect under 60 s and 2 GB, status under 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from generated_store import generate
from plan import make_benchmark, publish

ROOT = Path(__file__).resolve().parents[1]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
ROWS = 800  # of each cell, as generated_store.py makes them
COPY = """
import duckdb, sys
from pathlib import Path
files = [str(path) for path in Path(sys.argv[1]).glob("nodes/*/*/attempts/*/cases.parquet")]
with duckdb.connect() as connection:
    connection.execute("set enable_progress_bar = false")
    connection.execute(
        f"copy (from read_parquet($files, union_by_name = true)) to '{sys.argv[2]}' "
        "(format parquet, compression zstd)", {"files": files})
"""
# Answers what squeue would be asked for: id, state, reason, comment, name.
SQUEUE = """#!/bin/sh
sleep {pause}
cat {rows}
"""


def timed(command: list[str], **environment: str) -> dict[str, float]:
    """Run a command in a fresh process: wall and CPU seconds, and the peak MB so far."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    code = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, cwd=ROOT,
        env={**os.environ, **environment},
    ).returncode  # fmt: skip
    assert code in {0, 1, 3}, command
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "MB": after.ru_maxrss / 1024}


def collecting(root: Path, cells: int) -> dict[str, Any]:
    """Collect a store of `cells` nodes, again with nothing new, and verify it."""
    generate(root, cells, trainings=False)
    harness = [sys.executable, "-m", "harness"]
    here = ["--results", str(root)]
    found: dict[str, Any] = {
        "collect": timed([*harness, "collect", *here]),
        "collect, nothing new": timed([*harness, "collect", *here]),
        "verify": timed([*harness, "verify", *here]),
        "duckdb copy": timed(
            [sys.executable, "-c", COPY, str(root), str(root / "copy.parquet")]
        ),
    }
    (snapshot,) = root.glob("snapshots/*/cases.parquet")
    found["bytes"] = {
        "own files": sum(
            p.stat().st_size for p in root.glob("nodes/*/*/attempts/*/cases.parquet")
        ),
        "collected": snapshot.stat().st_size,
        "duckdb copy": (root / "copy.parquet").stat().st_size,
    }
    return found


def looking(folder: Path, cells: int) -> dict[str, Any]:
    """Time `harness status` of a matrix whose cells stand in every state."""
    path = make_benchmark(folder / "bench", cells, "fixed")
    results = folder / "results"
    publish(path, results, 0.5)
    tools = _other_states(path, results, folder)
    command = [sys.executable, "-m", "harness", "-b", str(path)]
    command += ["--results", str(results), "status"]
    environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
    first = timed(command, **environment)  # indexes the manifests
    again = [timed(command, **environment) for _ in range(3)]
    said = subprocess.run(
        [*command, "--json"], check=False, capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip
    counts = json.loads(said.stdout)["counts"]
    best = min(again, key=lambda one: one["seconds"])
    return {"first": first, "best": best, "counts": counts}


def _other_states(path: Path, results: Path, folder: Path) -> Path:
    """Fail some cells and queue others; return the folder of a squeue that says so."""
    from harness.matrix import load
    from harness.plan import make_plan
    from harness.store import Store
    from harness.submit.records import Array, Submissions

    store = Store(results)
    plan = make_plan(load(path), store)
    jobs = plan.jobs()
    plan.write_specs(store, jobs)
    failed, queued = (
        jobs[: len(jobs) * 2 // 5],
        jobs[len(jobs) * 2 // 5 :][: len(jobs) // 3],
    )
    for job in failed:
        store.begin(job.nodes[0], made_by={}).fail("code", "it broke")
    arrays = [
        Array.of(f"cell.{start}", [(job,) for job in queued[start : start + 1000]])
        for start in range(0, len(queued), 1000)
    ]
    submissions = Submissions(results)
    record = submissions.new("slurm", arrays)
    lines = []
    for number, array in enumerate(arrays, start=100):
        array.job_id = str(number)
        lines += [
            f"{array.element(i)}|{'RUNNING' if i < 8 else 'PENDING'}|None|{record.id}|x"
            for i in range(len(array.jobs))
        ]
    record.state = "submitted"
    submissions.write(record)
    tools = folder / "bin"
    tools.mkdir()
    (tools / "rows").write_text("\n".join(lines) + "\n")
    (tools / "squeue").write_text(SQUEUE.format(pause=0, rows=tools / "rows"))
    (tools / "squeue").chmod(0o755)
    return tools


def in_words(one: dict[str, float]) -> str:
    """Return wall and CPU seconds: on a busy machine only the second says something."""
    return f"{one['seconds']:.2f} s ({one['cpu']:.2f} s CPU)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="store-", dir=MEMORY) as folder:
        status = looking(Path(folder), options.cells)
    with tempfile.TemporaryDirectory(prefix="store-", dir=MEMORY) as folder:
        collected = collecting(Path(folder) / "results", options.cells)
    if options.json:
        print(json.dumps({"status": status, "store": collected}, indent=1))
        return
    print(
        f"status of {options.cells:,} cells: first {in_words(status['first'])}, then "
        f"best {in_words(status['best'])} (aim under 2 s); {status['counts']}"
    )
    rows = options.cells * ROWS
    mine, copy = collected["collect"], collected["duckdb copy"]
    print(
        f"collect {options.cells:,} nodes, {rows:,} rows: {in_words(mine)}, "
        f"{mine['MB']:.0f} MB (aim under 60 s and 2,000 MB); DuckDB's COPY, unchecked: "
        f"{in_words(copy)}: {mine['cpu'] / copy['cpu']:.2f}x its CPU time"
    )
    for what in ("collect, nothing new", "verify"):
        print(f"{what}: {in_words(collected[what])}")
    print(collected["bytes"])


if __name__ == "__main__":
    main()
