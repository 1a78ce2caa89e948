"""Write a results folder of made-up scores, as large as a benchmark that runs for months.

    python benchmarks/generated_store.py [DIR] [--cells 10000]

10 methods x 10 tasks x 4 protocols x 5 label budgets x 5 seeds, 50 cases x 8 structures x
Dice and HD95: 8 million case rows in 10,000 files, with specifications, manifests,
adaptations and their training curves, written as the harness lays them out but without
waiting for the disk. One method in ten has no pretraining. Fewer cells: fewer tasks.
Without DIR, 500 cells go into a folder that is removed again, to be timed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CASES, STRUCTURES = 50, 8
METHODS, PROTOCOLS, SEEDS = 10, 4, 5
BUDGETS = ("5-shot", "10-shot", "10%", "50%", "100%")
PER_TASK = METHODS * PROTOCOLS * len(BUDGETS) * SEEDS
STEPS = 50  # rows of a training curve
_ATTEMPT = "20260101T000000000-bench-1-00000000"
_PUBLISHED = "2026-01-01T00:00:00+00:00"


def generate(root: Path, cells: int, *, trainings: bool = True) -> None:
    """Write `cells` published cells; without `trainings` their evaluations alone."""
    from harness.store import Store
    from harness.store.tables import CASES as CASE_SCHEMA
    from harness.store.tables import CURVES

    Store(root).create()
    rng = np.random.default_rng(0)
    columns = _case_columns()
    pretrained = {m: _pretrain(root, m, CURVES) for m in range(1, METHODS)}
    for number in range(cells):
        rest, seed = divmod(number, SEEDS)
        rest, budget = divmod(rest, len(BUDGETS))
        rest, method = divmod(rest, METHODS)
        task, protocol = divmod(rest, PROTOCOLS)
        labels = {
            "method": f"method_{method}", "encoder": "swin", "tier": "paper",
            "corpus": "scans" if method else None, "task": f"task_{task}",
            "protocol": f"protocol_{protocol}", "label_budget": BUDGETS[budget],
            "fold": 0, "folds": 1, "seed": seed, "subset_seed": 0,
            "pretraining_seed": 0 if method else None,
            "pretraining_key": pretrained.get(method), "n_train": 5 * 2**budget,
        }  # fmt: skip
        encoder = {"encoder": pretrained[method]} if method else {}
        adapt = _node(root, "adapt", labels, {"adapt": seed}, encoder)
        if trainings:
            curves = _curves(adapt, rng, CURVES)
            run = {"wall_s": 3600.0, "gpu_h": 1.0}
            run["trainable_params"] = 10**6 * (1 + protocol)
            files = {"curves.parquet": curves}
            _publish(root, adapt, "adapt", files, labels, run)
        evaluate = _node(root, "evaluate", labels, {}, {"adapt": adapt})
        quality = 0.05 * method + 0.1 * budget + 0.2 * rng.normal(0, 0.1)
        scores = _scores(evaluate, columns, quality, rng, CASE_SCHEMA)
        _publish(root, evaluate, "evaluate", {"cases.parquet": scores}, labels)


def _case_columns() -> dict[str, np.ndarray]:
    of_case = np.repeat(np.arange(CASES), 2 * STRUCTURES)
    of_structure = np.tile(np.repeat(np.arange(STRUCTURES), 2), CASES)
    return {
        "case_id": np.char.add("case_", of_case.astype(str)),
        "group_id": np.char.add("patient_", of_case.astype(str)),
        "structure": np.char.add("organ_", of_structure.astype(str)),
        "metric": np.tile(["dice", "hd95"], CASES * STRUCTURES),
    }


def _pretrain(root: Path, method: int, schema: pa.Schema) -> str:
    labels = {
        "method": f"method_{method}", "encoder": "swin", "tier": "paper",
        "corpus": "scans", "pretraining_seed": 0, "n_train": 10_000,
    }  # fmt: skip
    key = _node(root, "pretrain", labels, {"pretraining": 0}, {})
    curves = _curves(key, np.random.default_rng(method), schema)
    run = {"wall_s": 36_000.0, "gpu_h": 40.0, "trainable_params": 10**7}
    _publish(root, key, "pretrain", {"curves.parquet": curves}, labels, run)
    return key


def _node(
    root: Path,
    kind: str,
    labels: dict[str, Any],
    seeds: dict[str, int],
    inputs: dict[str, str],
) -> str:
    """Write the specification of a node and return its key."""
    from harness.schema.identity import key_of_identity

    identity = {
        "kind": kind, "implementation": f"{kind}s.{labels['method']}", "version": 1,
        "settings": {"protocol": labels.get("protocol"), "method": labels["method"]},
        "data": {
            "fingerprint": str(labels.get("task")), "train": labels.get("label_budget"),
        },
        "seeds": seeds, "inputs": inputs,
    }  # fmt: skip
    key = key_of_identity(identity)
    spec = {"key": key, "kind": kind, "identity": identity, "labels": labels}
    spec["where"] = {"tasks": {labels["task"]: _task()} if "task" in labels else {}}
    path = root / "nodes" / key[:2] / key[:16] / "spec.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec))
    return key


def _task() -> dict[str, Any]:
    return {
        "title": "Made up", "kind": "segmentation", "modality": "CT", "cases": 200,
        "synthetic": True, "metrics": ["dice", "hd95"],
        "structures": {f"organ_{i}": i + 1 for i in range(STRUCTURES)},
    }  # fmt: skip


def _scores(
    key: str,
    columns: dict[str, np.ndarray],
    quality: float,
    rng: np.random.Generator,
    schema: pa.Schema,
) -> pa.Table:
    rows = 2 * CASES * STRUCTURES
    luck = rng.random(rows)
    missed, false = luck < 0.02, (luck >= 0.02) & (luck < 0.03)
    dice = columns["metric"] == "dice"
    value = np.where(dice, rng.beta(6 + 2 * quality, 2, rows), rng.gamma(2, 4, rows))
    value = np.where(missed | false, np.where(dice, 0.0, np.nan), value)
    reason = np.where(missed, "pred_empty", np.where(false, "gt_empty", ""))
    data = {
        "key": [key] * rows,
        **columns,
        "value": pa.array(value, from_pandas=True),
        "reason": pa.array(reason, mask=reason == ""),
        "diagonal_mm": np.full(rows, 300.0),
    }
    return pa.table(data).cast(schema)


def _curves(key: str, rng: np.random.Generator, schema: pa.Schema) -> pa.Table:
    step = np.arange(1, STEPS + 1) * 10
    data = {
        "key": [key] * 2 * STEPS,
        "split": ["train"] * STEPS + ["val"] * STEPS,
        "quantity": ["loss"] * STEPS + ["dice"] * STEPS,
        "step": np.tile(step, 2),
        "epoch": np.tile(step / 10, 2),
        "wall_s": np.tile(step * 1.0, 2),
        "value": np.concatenate(
            [np.exp(-step / 100) + rng.normal(0, 0.01, STEPS), 1 - np.exp(-step / 150)]
        ),
    }
    return pa.table(data).cast(schema)


def _publish(
    root: Path,
    key: str,
    kind: str,
    tables: dict[str, pa.Table],
    labels: dict[str, Any],
    run: dict[str, Any] | None = None,
) -> None:
    from harness.store import Manifest
    from harness.store.manifests import attempt_dir, manifest_path
    from harness.store.records import FileEntry

    folder = root / "nodes" / key[:2] / key[:16] / "attempts" / _ATTEMPT
    folder.mkdir(parents=True)
    files = {}
    for name, table in tables.items():
        pq.write_table(table, folder / name, compression="zstd")
        data = (folder / name).read_bytes()
        files[name] = FileEntry(len(data), hashlib.sha256(data).hexdigest())
    measured = {
        "wall_s": 60.0,
        "gpu_h": 0.01,
        "peak_mem_bytes": 2 * 10**9,
        **(run or {}),
    }
    manifest = Manifest(key, kind, _ATTEMPT, _PUBLISHED, files, labels, measured)
    assert attempt_dir(root, manifest) == folder
    path = manifest_path(root, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest.to_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cells", type=int, default=None)
    options = parser.parse_args()
    root = options.folder or Path(tempfile.mkdtemp(prefix="generated-store-"))
    cells = options.cells or (10_000 if options.folder else 500)
    start = time.perf_counter()
    try:
        generate(root, cells)
    finally:
        if options.folder is None:
            shutil.rmtree(root, ignore_errors=True)
    seconds = time.perf_counter() - start
    rows = cells * 2 * CASES * STRUCTURES
    print(f"{cells:,} cells, {rows:,} case rows written in {seconds:.1f} s")


if __name__ == "__main__":
    main()
