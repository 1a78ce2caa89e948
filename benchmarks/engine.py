"""How long 10,000 cells take to submit, against raw submitit doing the same.

    python benchmarks/engine.py [CELLS] [--pretrainings 5 500]

Starts a private SLURM (scripts/slurm.py; Debian, as root) that queues jobs and runs none,
so that only submission is timed. Submitted are cells that each wait for one of 5, then of
500 pretrainings. Submitit submits as many empty functions with the same dependencies: one
array of pretrainings, then arrays of at most MaxArraySize elements for each. Then status,
a submission that gets SIGKILL half-way, and the overhead of the local pool. Goals: 60 s,
100 + CELLS / MaxArraySize calls of sbatch, 2 s for status, 0.2 s a cell.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import slurm  # noqa: E402  (scripts/slurm.py)
import slurm_site  # noqa: E402

from harness.matrix import load  # noqa: E402
from harness.plan import make_plan  # noqa: E402
from harness.plan.prepare import prepare_data  # noqa: E402
from harness.store import Store  # noqa: E402

GOAL_S, GOAL_STATUS_S, GOAL_CELL_S = 60.0, 2.0, 0.2
ARRAY = 1001  # MaxArraySize, SLURM's default
LOCAL_CELLS, LOCAL_WORK_S = 300, 0.05
BENCHMARK = """
tier: tiny
content: [{root}]
corpus: [phantom_organs]
methods: {{{methods}}}
protocols: {{finetune: {{steps: 2, val_every: 2}}}}
tasks:
  phantom_organs:
    cases: 6
    format: {{settings: {{train: 3, val: 1, test: 2}}}}
    preprocess: {{spacing: [8, 8, 10]}}
    crop: [16, 16, 16]
label_budgets: [n=2, 100%]
seeds: {seeds}
"""
# A shim in front of sbatch: notes each call, and after `stop` of them kills `harness`.
SHIM = """#!/bin/bash
echo "$PPID" >> {calls}
{real} "$@"
code=$?
if [ "$(wc -l < {calls})" = "$STOP_AFTER" ]; then kill -KILL $PPID; fi
exit $code
"""
PEER = """
import sys, time
import submitit
folder, cells, pretrainings, largest = sys.argv[1], *map(int, sys.argv[2:])
each = cells // pretrainings
executor = submitit.SlurmExecutor(folder=folder)
executor.update_parameters(time=240)
with executor.batch():
    parents = [executor.submit(print, folder, str(i)) for i in range(pretrainings)]
for parent in parents:
    executor.update_parameters(dependency=f"afterok:{parent.job_id}")
    for start in range(0, each, largest):
        with executor.batch():
            for i in range(start, min(each, start + largest)):
                executor.submit(print, folder, "adapt", "evaluate", str(i))
"""


class Timed(NamedTuple):
    """A command that has ended: seconds by the wall and on CPUs, calls of sbatch."""

    wall: float
    cpu: float
    code: int
    calls: int
    out: str

    def __str__(self) -> str:
        """Return its times."""
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    """A private SLURM that queues jobs and runs none, and a folder for what is timed."""

    def __init__(self, folder: Path, conf: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        real = shutil.which("sbatch")
        (folder / "bin").mkdir()
        shim = folder / "bin" / "sbatch"
        shim.write_text(SHIM.format(calls=self.calls, real=real))
        shim.chmod(0o755)
        self._environment = {
            **os.environ, "SLURM_CONF": str(conf), "OMP_NUM_THREADS": "1",
            "PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def timed(self, *command: str, stop_after: int = -1) -> Timed:
        """Run a command; with `stop_after`, kill it after so many calls of sbatch."""
        self.calls.write_text("")
        before = _cpu_of_children()
        environment = {**self._environment, "STOP_AFTER": str(stop_after)}
        start = time.perf_counter()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False,
            cwd=self.folder, timeout=900,
        )  # fmt: skip
        took = time.perf_counter() - start
        if done.returncode not in (0, 3, -9):
            print(done.stderr[-2000:], file=sys.stderr)
        calls = len(self.calls.read_text().split())
        cpu = _cpu_of_children() - before
        return Timed(took, cpu, done.returncode, calls, done.stdout)

    def queued(self) -> Counter[str]:
        """Return how often each element of each array is queued, by submission."""
        text = self.ask("squeue", "-h", "-r", "-o", "%k %j %K %i").stdout
        return Counter(line.rsplit(" ", 1)[0] for line in text.splitlines())

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of SLURM's programs."""
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )

    def empty_queue(self) -> None:
        """Cancel everything."""
        while self.queued():
            self.ask("scancel", "--me")
            time.sleep(0.5)


@contextmanager
def private_slurm(folder: Path) -> Iterator[Path]:
    site = slurm.Site(
        port=slurm_site.free_port(3), max_array_size=ARRAY, max_job_count=50_000,
        min_job_age_s=2,
    )  # fmt: skip
    conf = slurm.up(folder, site)
    try:
        slurm.ask(conf, "scontrol", "update", "partitionname=main", "state=down")
        yield conf
    finally:
        slurm.down(folder)


def write_matrix(folder: Path, cells: int, pretrainings: int) -> tuple[Path, Path]:
    """Return a benchmark file and its results folder, with the data cached in it."""
    names = ", ".join(
        f"m{i}: {{extends: simmim, mask_ratio: {0.3 + 0.4 * i / pretrainings:.5f}}}"
        for i in range(pretrainings)
    )
    seeds = list(range(cells // pretrainings // 2))  # with two label budgets
    benchmark = folder / f"benchmark-{pretrainings}.yaml"
    benchmark.write_text(BENCHMARK.format(root=ROOT, methods=names, seeds=seeds))
    results = folder / f"results-{pretrainings}"
    plan = make_plan(load(benchmark), Store(results))
    assert len(plan.cells) == cells, len(plan.cells)
    prepare_data(plan, plan.jobs()[:1], results)
    prepare_data(plan, plan.jobs()[-1:], results)
    return benchmark, results


def submission(bench: Bench, cells: int, pretrainings: int) -> None:
    """Time submission and status, then a submission that is killed half-way."""
    benchmark, results = write_matrix(bench.folder, cells, pretrainings)
    spare = bench.folder / f"spare-{pretrainings}"
    shutil.copytree(results, spare)
    harness = [sys.executable, "-m", "harness", "-b", str(benchmark), "--results"]
    most = 100 + cells // ARRAY
    ours = bench.timed(*harness, str(results), "run", "--cluster", "slurm")
    assert ours.code == 0, ours.code
    queued = bench.queued()
    assert len(queued) == queued.total() == cells + pretrainings, queued.total()
    print(
        f"{cells} cells, {pretrainings} pretrainings: {ours}, {ours.calls} calls of "
        f"sbatch (goals {GOAL_S:.0f} s, {most})"
    )
    seen = bench.timed(*harness, str(results), "status", "--json")
    counts = json.loads(seen.out)["counts"]
    assert counts["pending"] == cells, counts
    print(f"  status of {cells} queued cells: {seen} (goal {GOAL_STATUS_S} s)")
    bench.empty_queue()
    folder = bench.folder / f"peer-{pretrainings}"
    words = [str(folder), str(cells), str(pretrainings), str(min(ARRAY - 1, cells))]
    peer = bench.timed(sys.executable, "-c", PEER, *words)
    assert peer.code == 0, peer.code
    assert bench.queued().total() == cells + pretrainings
    files = sum(1 for _ in folder.rglob("*"))
    print(
        f"  raw submitit: {peer}, {peer.calls} calls of sbatch, {files} files; "
        f"{peer.wall / ours.wall:.1f}x the time"
    )
    bench.empty_queue()
    killed(bench, harness, spare, cells + pretrainings, ours.calls)


def killed(
    bench: Bench, harness: list[str], results: Path, jobs: int, calls: int
) -> None:
    """SIGKILL a submission after half of its calls of sbatch; `resume` does the rest."""
    where = [*harness, str(results)]
    half = max(1, calls // 2)
    first = bench.timed(*where, "run", "--cluster", "slurm", stop_after=half)
    assert first.code == -9, first.code
    taken = bench.queued().total()
    rest = bench.timed(*where, "resume")
    assert rest.code == 0, rest.code
    queued = bench.queued()
    assert len(queued) == queued.total() == jobs, (len(queued), queued.total())
    print(
        f"  SIGKILL after {first.calls} of {calls} calls ({first}, {taken} jobs queued): "
        f"resume {rest}, {rest.calls} more calls; all {jobs} jobs queued once"
    )
    bench.empty_queue()


def local_overhead(folder: Path) -> None:
    """Time the local pool on cells that do nothing for a known time."""
    from local_cells import RUNNER, make_cells

    from harness.submit.local import Local
    from harness.submit.progress import Progress

    jobs, store = make_cells(folder / "local", LOCAL_CELLS, LOCAL_WORK_S)
    os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT}/benchmarks"
    workers = 2
    with (folder / "progress").open("w") as quiet:
        pool = Local(
            store, workers=workers, runner=RUNNER,
            progress=Progress({"cell": LOCAL_CELLS}, stream=quiet),
        )  # fmt: skip
        start = time.perf_counter()
        outcome = pool.run(jobs)
        took = time.perf_counter() - start
    assert len(outcome.done) == LOCAL_CELLS, outcome.failed[:1]
    starts = sorted(float(line) for line in (store.root / "starts").read_text().split())
    warm = starts[-1] - starts[workers]  # from the first cells on warm workers
    overhead = warm * workers / (len(starts) - 1 - workers) - LOCAL_WORK_S
    print(
        f"local pool, {LOCAL_CELLS} cells of {LOCAL_WORK_S} s on {workers} workers: "
        f"{took:.1f} s with their start; {1000 * overhead:.0f} ms a cell beyond the work "
        f"when warm (goal {1000 * GOAL_CELL_S:.0f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cells", nargs="?", type=int, default=10_000)
    parser.add_argument("--pretrainings", nargs="*", type=int, default=[5, 500])
    options = parser.parse_args()
    busy = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, load {busy}")
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        local_overhead(folder)
        try:
            with private_slurm(folder / "slurm") as conf:
                bench = Bench(folder, conf)
                for pretrainings in options.pretrainings:
                    submission(bench, options.cells, pretrainings)
        except slurm.CannotStart as problem:
            print(f"submission is not timed: {problem}")


if __name__ == "__main__":
    main()
