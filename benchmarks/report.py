"""Time reports of a collected store of 10,000 cells x 800 case rows.

    python benchmarks/report.py [--cells 10000] [--keep DIR] [--json]

The store is that of generated_store.py: 10 methods x 10 tasks x 4 protocols x 5 label
budgets x 5 seeds. It is collected, then each command runs in a fresh process, from the
results folder alone: the Dice table (twice; the first report keeps in the cache what it
found out about settings), and all tables in four formats: intervals with 2,000 draws and
all pairwise tests. Beside them, in the same run, the same Dice rows averaged by pandas,
from the collected file. Aims: Dice under 3 s, all tables under 60 s and 4 GB on 2 idle
cores. Besides seconds, CPU seconds are given, which other work on the machine does not
lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generated_store import CASES, STRUCTURES, generate

HARNESS = [sys.executable, "-m", "harness"]
ROOT = Path(__file__).resolve().parents[1]
# What a script without DuckDB would do with the collected file.
PANDAS = """
import sys, pandas as pd
rows = pd.read_parquet(sys.argv[1], columns=["key", "case_id", "metric", "value"])
rows = rows[rows.metric == "dice"]
rows.groupby(["key", "case_id"], observed=True).value.mean()
"""


def timed(command: list[str]) -> dict[str, float]:
    """Run a command in a fresh process: seconds, its CPU seconds and its peak MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return {
        "seconds": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "MB": used.ru_maxrss / 1024,
    }


def measure(root: Path, out: Path) -> dict[str, dict[str, float]]:
    """Collect the store and time its reports."""
    here = ["--results", str(root)]
    report = [*HARNESS, *here, "report", "--published"]
    formats = ["--format", "md,tex,csv,json", "--out", str(out)]
    found = {
        "collect": timed([*HARNESS, *here, "collect"]),
        "dice, first": timed([*report, "--table", "dice"]),
        "dice": timed([*report, "--table", "dice"]),
        "all tables": timed([*report, *formats]),
    }
    (collected,) = root.glob("snapshots/*/cases.parquet")
    found["pandas"] = timed([sys.executable, "-c", PANDAS, str(collected)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder to keep the store in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    root = options.keep or Path(tempfile.mkdtemp(prefix="bench-report-"))
    out = Path(tempfile.mkdtemp(prefix="bench-report-out-"))
    try:
        if not (root / "format.json").exists():
            generate(root, options.cells)
        found = measure(root, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    rows = options.cells * 2 * CASES * STRUCTURES
    print(f"{options.cells:,} cells, {rows:,} case rows")
    for name, one in found.items():
        print(
            f"  {name:12} {one['seconds']:7.1f} s  {one['cpu_s']:7.1f} CPU s  "
            f"{one['MB']:7.0f} MB"
        )


if __name__ == "__main__":
    main()
