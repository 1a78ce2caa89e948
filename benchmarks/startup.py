"""How long `harness --help` takes, beside a bare interpreter and an import of torch.

    python benchmarks/startup.py

The goal is 0.3 s. Medians of several runs, side by side in one call.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 7
GOAL_S = 0.3


def seconds(*command: str, runs: int = RUNS) -> float:
    """Return the median wall time of a command, in seconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    bare = seconds("-c", "pass")
    help_ = seconds("-m", "harness", "--help")
    torch = seconds("-c", "import torch", runs=2)
    print(f"python -c pass      {bare:6.3f} s")
    print(f"harness --help      {help_:6.3f} s   (goal {GOAL_S} s)")
    print(f"import torch        {torch:6.3f} s   {torch / help_:.0f}x harness --help")
    return int(help_ > GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
