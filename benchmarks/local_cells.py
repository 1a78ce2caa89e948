"""Cells for benchmarks/engine.py that sleep for a known time and publish a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.plan import Job
from harness.schema.identity import key_of_identity, short
from harness.store import Store

RUNNER = "local_cells:run_nodes"


def make_cells(results: Path, count: int, work_s: float) -> tuple[list[Job], Store]:
    """Return jobs of one adaptation and its evaluation each, planned in `results`."""
    store = Store(results)
    jobs = []
    for number in range(count):
        inputs: dict[str, str] = {}
        keys = []
        for kind in ("adapt", "evaluate"):
            identity = {
                "kind": kind, "implementation": "none", "version": 1, "data": {},
                "settings": {"number": number, "work_s": work_s / 2}, "seeds": {},
                "inputs": inputs,
            }  # fmt: skip
            key = key_of_identity(identity)
            labels = {"method": "none", "task": "none"}
            spec = {"key": key, "kind": kind, "identity": identity, "labels": labels}
            store.write_spec({**spec, "where": {}})
            keys.append(key)
            inputs = {"adapt": key}
        name = short(keys[-1])
        jobs.append(
            Job(name=name, kind="cell", nodes=tuple(keys), after=(), label=name,
                profile="cell")
        )  # fmt: skip
    return jobs, store


def run_nodes(results: str, keys: Sequence[str], *, threads: int) -> int:
    """Sleep for as long as the settings say, publish, note when the job began."""
    store = Store(Path(results))
    with (store.root / "starts").open("a") as starts:
        starts.write(f"{time.time()}\n")
    for key in keys:
        attempt = store.begin(key, {"threads": threads})
        time.sleep(store.spec(key)["identity"]["settings"]["work_s"])
        attempt.path("result.txt").write_text(key)
        attempt.publish()
    return 0
