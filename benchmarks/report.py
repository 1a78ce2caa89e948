"""Time a table from a store of 10,000 cells x 800 case rows that nobody has collected.

python benchmarks/report.py [--cells 10000] [--keep DIR] [--json]
Generates the store (written as the harness lays it out, without waiting for the disk),
then starts a fresh interpreter that imports the report, finds the published files,
reads them through DuckDB, and prints the Dice table. Aim: under 5 s. Beside it, in the
same run: the same rows read file by file with pandas, on a tenth of the files, times
ten. The matrix and the plan of the cells are not part of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

CASES, STRUCTURES, SEEDS = 50, 8, 5
BUDGETS = ("5-shot", "10%", "50%", "100%")


def generate(root: Path, count: int) -> pd.DataFrame:
    """Write `count` published evaluate nodes; return the records of their cells."""
    from harness.store import Manifest, Store
    from harness.store.manifests import attempt_dir, manifest_path
    from harness.store.records import FileEntry
    from harness.store.tables import CASES as SCHEMA

    Store(root).create()
    rng = np.random.default_rng(0)
    of_case = np.repeat(np.arange(CASES), 2 * STRUCTURES)
    of_structure = np.tile(np.repeat(np.arange(STRUCTURES), 2), CASES)
    columns = {
        "case_id": np.char.add("case_", of_case.astype(str)),
        "group_id": np.char.add("patient_", of_case.astype(str)),
        "structure": np.char.add("organ_", of_structure.astype(str)),
        "metric": np.tile(["dice", "hd95"], CASES * STRUCTURES),
    }
    cells = _cells(count)
    for key in cells.evaluate_key:
        file = _write_cases(root, key, columns, rng, SCHEMA)
        entry = FileEntry(
            file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
        )
        manifest = Manifest(
            key=key, kind="evaluate", attempt=file.parent.name,
            published="2026-01-01T00:00:00Z", files={file.name: entry},
            labels={}, run={},
        )  # fmt: skip
        assert attempt_dir(root, manifest) == file.parent
        path = manifest_path(root, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.to_bytes())
    return cells


def _write_cases(
    root: Path,
    key: str,
    columns: dict[str, np.ndarray],
    rng: np.random.Generator,
    schema: pa.Schema,
) -> Path:
    rows = 2 * CASES * STRUCTURES
    luck = rng.random(rows)
    reason = np.where(
        luck < 0.02, "pred_empty", np.where(luck < 0.03, "gt_empty", None)
    )
    dice = columns["metric"] == "dice"
    value = np.where(dice, rng.beta(8, 2, rows), rng.gamma(2, 4, rows))
    value = np.where(reason == None, value, np.where(dice, 0.0, np.nan))  # noqa: E711
    data = {
        "key": [key] * rows,
        **columns,
        "value": pa.array(value, from_pandas=True),
        "reason": pa.array(reason, pa.string(), from_pandas=True),
        "diagonal_mm": np.full(rows, 300.0),
    }
    folder = root / "nodes" / key[:2] / key[:16] / "attempts" / "20260101T000000-bench"
    folder.mkdir(parents=True)
    file = folder / "cases.parquet"
    pq.write_table(pa.table(data).cast(schema), file)
    return file


def _cells(count: int) -> pd.DataFrame:
    rows = []
    for i in range(count):
        rest, seed = divmod(i, SEEDS)
        rest, budget = divmod(rest, len(BUDGETS))
        task, method = divmod(rest, 10)
        rows.append(
            {
                "method": f"method_{method}", "encoder": "swin", "task": f"task_{task}",
                "protocol": "finetune", "label_budget": BUDGETS[budget], "fold": 0,
                "seed": seed, "subset_seed": 0, "pretraining_seed": 0,
                "pretraining_key": f"{method:064x}",
                "evaluate_key": hashlib.sha256(str(i).encode()).hexdigest(),
                "state": "done",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def report(root: Path) -> None:
    """Print the Dice table of the store: what the timed interpreter runs."""
    from harness.report.reader import StoreReader
    from harness.report.render import render
    from harness.report.tables import build
    from harness.schema.task import TaskSpec
    from harness.store import Store

    clock = time.perf_counter()
    cells = pd.read_parquet(root / "cells.parquet")
    spec = TaskSpec.model_validate(
        {
            "title": "bench", "kind": "segmentation", "modality": "CT", "cases": 100,
            "format": {"kind": "generated", "generator": "bench"},
            "structures": {f"organ_{i}": i + 1 for i in range(STRUCTURES)},
            "preprocess": {"intensity": {"kind": "percentiles"}},
            "crop": {"small": (32, 32, 32)}, "metrics": ("dice", "hd95"),
            "source": {"page": "none", "licence": "none"},
        }
    )  # fmt: skip
    reader = StoreReader.of(Store(root))
    steps = {"start": time.perf_counter() - clock}
    table = build("dice", cells, reader, {name: spec for name in cells.task.unique()})
    steps["build"] = time.perf_counter() - clock
    text = render(table, "term")
    steps["render"] = time.perf_counter() - clock
    print(text)
    print(json.dumps(steps), file=sys.stderr)


def pandas_way(files: list[Path]) -> float:
    """Seconds to read and average the rows file by file with pandas."""
    start = time.perf_counter()
    rows = pd.concat([pd.read_parquet(file) for file in files])
    rows = rows[rows.metric == "dice"].astype({"key": "str"})
    rows.groupby(["key", "case_id"]).value.mean()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="folder to keep the store in")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.of:
        report(options.of)
        return
    root = options.keep or Path(tempfile.mkdtemp(prefix="bench-report-"))
    try:
        if not (root / "cells.parquet").exists():
            generate(root, options.cells).to_parquet(root / "cells.parquet")
        command = [sys.executable, __file__, "--of", str(root)]
        took, steps = [], []
        for _ in range(3):
            start = time.perf_counter()
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            took.append(time.perf_counter() - start)
            steps.append(json.loads(run.stderr.splitlines()[-1]))
        files = sorted(root.glob("nodes/*/*/attempts/*/cases.parquet"))
        tenth = files[: max(len(files) // 10, 1)]
        pandas_s = pandas_way(tenth) * len(files) / len(tenth)
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    best = min(took)
    result = {
        "cells": len(files), "rows": len(files) * 2 * CASES * STRUCTURES,
        "seconds": took, "steps": steps, "aim_s": 5, "pandas_s": pandas_s,
        "times_faster": pandas_s / best,
    }  # fmt: skip
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"Dice table of {len(files):,} files, {result['rows']:,} rows: first "
        f"{took[0]:.2f} s, best {best:.2f} s (aim under 5 s); pandas file by file "
        f"{pandas_s:.1f} s: {pandas_s / best:.1f}x"
    )
    print(steps[-1])


if __name__ == "__main__":
    main()
