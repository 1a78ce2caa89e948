"""Time intervals and tests of a whole table against loops over its groups.

python benchmarks/significance.py [--repeats 7] [--json]
Two-way bootstrap of 10 methods x 10 tasks x 5 label budgets (60 cases, 5 seeds, 2,000
draws) against a loop that draws the same cases and seeds by index, group by group; all
45 x 50 Wilcoxon tests against a loop over scipy's function. Results are compared before
they are timed, both sides in turn; the shortest time of each counts. Aims: 40 and 50
times as fast. Set OMP_NUM_THREADS=1 where other work runs on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
from scipy.stats import wilcoxon

from harness.analyse.intervals import Scores
from harness.analyse.resample import Resample, bootstrap
from harness.analyse.signed_rank import signed_rank

METHODS, TASKS, BUDGETS, CASES, SEEDS, DRAWS = 10, 10, 5, 60, 5, 2000


def study() -> list[Scores]:
    """One matrix of groups x cases x seeds per task."""
    rng = np.random.default_rng(0)
    shape = (METHODS * BUDGETS, CASES, SEEDS)
    found = []
    for _ in range(TASKS):
        x = 0.8 + 0.1 * rng.normal(size=(1, CASES, 1)) + 0.02 * rng.normal(size=shape)
        found.append(Scores(x, np.ones(shape, dtype=bool), np.arange(CASES)))
    return found


def draw(task: int, scores: Scores) -> Resample:
    """Draw the cases and seeds that every group of a task shares."""
    rng = np.random.default_rng(task)
    return Resample.draw(scores.patient, SEEDS, rng, draws=DRAWS)


def fast_intervals(tasks: list[Scores]) -> np.ndarray:
    found = [bootstrap(scores, draw(k, scores)) for k, scores in enumerate(tasks)]
    return np.concatenate([np.stack([one.low, one.high], axis=1) for one in found])


def loop_intervals(tasks: list[Scores]) -> np.ndarray:
    """Return the same, each group drawing its cases (B, N) and seeds (B, S) by index."""
    found = []
    for k, scores in enumerate(tasks):
        for x in scores.values:
            rng = np.random.default_rng(k)
            cases = rng.integers(0, CASES, (DRAWS, CASES), dtype=np.int32)
            seeds = (rng.random((DRAWS, SEEDS)) * SEEDS).astype(np.int64)
            means = x[cases[:, :, None], seeds[:, None, :]].mean(axis=(1, 2))
            found.append(np.quantile(means, [0.025, 0.975]))
    return np.array(found)


def differences(tasks: list[Scores]) -> np.ndarray:
    """Per-case differences of all pairs of methods in all 50 settings, (2250, 60)."""
    found = []
    for scores in tasks:
        means = scores.values.mean(axis=2).reshape(METHODS, BUDGETS, CASES)
        found += [means[a] - means[b] for a, b in combinations(range(METHODS), 2)]
    return np.concatenate(found)


def fast_tests(gaps: np.ndarray) -> np.ndarray:
    return signed_rank(gaps, np.ones(gaps.shape, dtype=bool)).p


def loop_tests(gaps: np.ndarray) -> np.ndarray:
    return np.array([wilcoxon(row, zero_method="pratt").pvalue for row in gaps])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tasks = study()
    gaps = differences(tasks)
    apart = {
        "bootstrap": np.abs(fast_intervals(tasks) - loop_intervals(tasks)).max(),
        "wilcoxon": np.abs(fast_tests(gaps) - loop_tests(gaps)).max(),
    }
    work: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "bootstrap": (lambda: fast_intervals(tasks), lambda: loop_intervals(tasks)),
        "wilcoxon": (lambda: fast_tests(gaps), lambda: loop_tests(gaps)),
    }
    found = {}
    for name, (fast, slow) in work.items():
        both = [(seconds(fast), seconds(slow)) for _ in range(given.repeats)]
        quick, long = (min(times) for times in zip(*both, strict=True))
        found[name] = {
            "seconds": quick, "loop": long, "times": long / quick,
            "largest difference": float(apart[name]),
        }  # fmt: skip
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for name, row in found.items():
        print(
            f"{name}: {row['seconds'] * 1e3:.1f} ms, loop {row['loop']:.2f} s, "
            f"{row['times']:.0f} times; largest difference {row['largest difference']:.1e}"
        )


if __name__ == "__main__":
    main()
