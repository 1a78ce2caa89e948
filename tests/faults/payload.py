"""What the jobs of the fault suite compute: real rows in the real store, in no time.

Only the training is replaced. Every node publishes through Attempt.publish, an
evaluation with one row of cases.parquet per test case. A trial steers a node from outside
by files beside the results folder:

    orders/<node>   what the node shall do: 'hold' until the file says
                    otherwise or is gone, 'fail',
                    'memory' (allocate until something ends it)
    here/<node>     written when the node obeys: process id, host, job id
    work            one line per node that was computed to its end, 'key attempt'

<node> is 'pretrain-simmim', 'adapt-random-0' or 'evaluate-random-0'.
"""

import json
import os
import sys
import time
from pathlib import Path

from harness.store import Store
from harness.store.tables import build, write_table


def node_name(spec):
    """Return the name by which a trial steers a node."""
    labels, kind = spec["labels"], spec["kind"]
    seed = "" if kind == "pretrain" else f"-{labels['seed']}"
    return f"{kind}-{labels['method']}{seed}"


def scores(key, cases):
    """Return the rows that the evaluation `key` publishes: (case, value)."""
    return [(case, (n + int(key[:4], 16)) % 97 / 97) for n, case in enumerate(cases)]


def real_pretraining(results, keys, *, threads):
    """Pretrain as the harness does, and compute the other nodes as `run_nodes` does."""
    from harness.run.cell import run_nodes as really

    kinds = {Store(Path(results)).spec(key)["kind"] for key in keys}
    return (really if kinds == {"pretrain"} else run_nodes)(
        results, keys, threads=threads
    )


def run_nodes(results, keys, *, threads):
    """Compute nodes in order; the runner that the trials name in their jobs."""
    store, code = Store(Path(results)), 0
    for key in keys:
        if store.is_done(key):
            continue
        spec = store.spec(key)
        attempt = store.begin(key)
        lacking = [
            k for k in spec["identity"]["inputs"].values() if not store.is_done(k)
        ]
        if lacking:
            attempt.fail("blocked", f"{lacking[0][:16]}, an input, is not published")
            code = code or 75
            continue
        try:
            with attempt:
                _obey(node_name(spec), Path(results).parent)
                _compute(store, attempt, spec)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            code = 1
    return code


def _compute(store, attempt, spec):
    key = spec["key"]
    attempt.path("weights.bin").write_bytes(bytes.fromhex(key) * 64)
    if spec["kind"] == "evaluate":
        rows = scores(key, spec["where"]["cases"]["test"])
        columns = {
            "key": [key] * len(rows),
            "case_id": [case for case, _ in rows],
            "group_id": [case for case, _ in rows],
            "structure": ["liver"] * len(rows),
            "metric": ["dice"] * len(rows),
            "value": [value for _, value in rows],
        }
        path = attempt.path("cases.parquet")
        write_table(path, build("cases", columns))
    attempt.publish()
    with (store.root.parent / "work").open("a") as work:
        work.write(f"{key} {attempt.id}\n")


def _obey(name, folder):
    order = folder / "orders" / name
    if not order.exists():
        return
    what = order.read_text()
    note = {
        "pid": os.getpid(), "node": os.environ.get("SLURMD_NODENAME"),
        "job": os.environ.get("SLURM_JOB_ID"), "order": what, "at": time.time(),
        "array": os.environ.get("SLURM_ARRAY_JOB_ID"),
        "element": os.environ.get("SLURM_ARRAY_TASK_ID"),
    }  # fmt: skip
    here = folder / "here" / name
    draft = here.with_name(f".{name}.{os.getpid()}")
    draft.write_text(json.dumps(note))
    draft.replace(here)
    if what.startswith("memory"):
        _allocate(Path(what.split()[1]))
    while what:
        if what == "fail":
            message = "told to fail"
            raise RuntimeError(message)
        time.sleep(0.05)
        what = order.read_text() if order.exists() else ""


def _allocate(group):
    """Enter a control group with a limit of memory, and ask for more than that."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    hoard = []
    while True:
        hoard.append(os.urandom(1 << 22))
