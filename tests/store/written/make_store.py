"""Write the little store that tests/store/test_evolution.py reads: a fixture.

    python tests/store/written/make_store.py FOLDER

It holds what a benchmark leaves behind: a pretraining, two adaptations and their
evaluations (segmentation and classification), a failed attempt before a good one, and a
node that only failed. A later version of the harness must go on reading what an earlier
one wrote, so each folder beside this file was made once, by the version in its name, and
is never made again. To add one for a new version: check that version out, run this
script with the folder's new name, and commit what it writes.
"""

import sys
from pathlib import Path

from harness.schema.identity import key_of_identity
from harness.store import Store
from harness.store.tables import build, write_table

MADE_BY = {
    "harness": "0.1.0",
    "git": {"commit": "0" * 40, "dirty": False, "diff_sha256": None},
    "packages": {"torch": "2.13.0"},
    "slurm": {"job": "17"},
}
CASES = ("a", "b", "c")


def spec(kind, number, inputs, **labels):
    identity = {
        "kind": kind, "implementation": f"stub.{kind}", "version": 1,
        "settings": {"lr": 0.001}, "data": {"fingerprint": "f" * 64},
        "seeds": {"seed": number}, "inputs": inputs,
    }  # fmt: skip
    key = key_of_identity(identity)
    common = {"method": "stub", "encoder": "swin", "tier": "tiny", "corpus": "toys"}
    return {
        "key": key, "kind": kind, "identity": identity,
        "labels": {**common, **labels}, "where": {"data_roots": ["/data"]},
    }  # fmt: skip


def cell(number, task):
    return {
        "task": task, "protocol": "finetune", "label_budget": "100%", "fold": 0,
        "folds": 1, "seed": number, "subset_seed": 0, "pretraining_seed": 0,
        "n_train": 4,
    }  # fmt: skip


def scores(key):
    return build(
        "cases",
        {
            "key": [key] * 3, "case_id": CASES, "group_id": ["p", "p", "q"],
            "structure": ["liver"] * 3, "metric": ["dice"] * 3,
            "value": [0.5, 0.75, None], "reason": [None, None, "both_empty"],
            "diagonal_mm": [100.0] * 3,
        },
    )  # fmt: skip


def classes(key):
    return build(
        "predictions",
        {
            "key": [key] * 3, "split": ["val", "test", "test"], "case_id": CASES,
            "group_id": ["p", "p", "q"], "y_true": [0, 1, 0],
            "scores": [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]],
        },
    )  # fmt: skip


def losses(key):
    return build(
        "curves",
        {
            "key": [key] * 2, "split": ["train"] * 2, "quantity": ["loss"] * 2,
            "step": [0, 1], "epoch": [0.0, 0.5], "value": [1.0, 0.5],
        },
    )  # fmt: skip


def publish(store, node, files):
    store.write_spec(node)
    with store.begin(node["key"], made_by=dict(MADE_BY)) as attempt:
        attempt.note(device="cpu", gpu_h=0.0, trainable_params=10)
        for name, table in files.items():
            write_table(attempt.path(name), table)
        attempt.publish()
    return node["key"]


def make(root):
    store = Store(root)
    start = spec("pretrain", 0, {}, pretraining_seed=0)
    encoder = publish(store, start, {"curves.parquet": losses(start["key"])})
    for number, (task, table) in enumerate(
        {"organs": ("cases", scores), "nodules": ("predictions", classes)}.items()
    ):
        labels = {**cell(number, task), "pretraining_key": encoder}
        adapt = spec("adapt", number, {"encoder": encoder}, **labels)
        store.write_spec(adapt)
        store.begin(adapt["key"], made_by=dict(MADE_BY)).fail("oom", "out of memory")
        publish(store, adapt, {"curves.parquet": losses(adapt["key"])})
        evaluate = spec("evaluate", number, {"adapt": adapt["key"]}, **labels)
        name, rows = table
        publish(store, evaluate, {f"{name}.parquet": rows(evaluate["key"])})
    never = spec("adapt", 9, {"encoder": encoder}, **cell(9, "organs"))
    store.write_spec(never)
    store.begin(never["key"], made_by=dict(MADE_BY)).fail("data", "case a is torn")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
