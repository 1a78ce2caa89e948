"""Fill a results folder with made-up results of every cell of a plan, quickly.

Scores follow a simple rule, so that tests can say what a report must show: each method
adds 0.04 to the one before it, each label budget 0.1; case and seed add noise.
"""

import json
import sys
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from harness.plan import make_plan
from harness.registry import child, describe
from harness.report.catalogue import tables
from harness.report.evidence import Evidence
from harness.report.findings import Findings
from harness.report.reader import StoreReader
from harness.report.scope import scope_of_plan
from harness.run.slices import worst_cases, write_slices
from harness.schema.errors import UserError
from harness.store.tables import build, write_table

MATRIX = """
title: Toys & <q>organs</q>
tier: tiny
corpus: toys
methods:
  plain:
  masked:
  harder: {extends: masked, mask_ratio: 75%}
protocols:
  finetune: {steps: 7}
  linear_probe:
tasks:
  organs: {protocols: [finetune]}
  nodules: {protocols: [linear_probe]}
label_budgets: [5-shot, 100%]
seeds: [0, 1]
"""


SIZE = 40  # pixels per side of a made-up slice
STEPS = 5


def fill(plan, store, *, skip=None, noise=0.02, gpu_h=0.0):
    """Publish pretrainings, adaptations and evaluations; `skip` leaves cells out."""
    methods = list(dict.fromkeys(cell.method for cell in plan.cells))
    budgets = list(dict.fromkeys(cell.budget for cell in plan.cells))
    facts = {task.name: task.spec for task in plan.matrix.tasks}
    for key in plan.pretrainings:
        _publish(store, plan.spec(key), _curve(key, "loss", [1.0, 0.5, 0.4], "train"))
    for number, cell in enumerate(plan.cells):
        if skip is not None and skip(cell):
            continue
        rng = np.random.default_rng([number, cell.seed])
        level = 0.5 + 0.04 * methods.index(cell.method)
        level += 0.1 * budgets.index(cell.budget) + noise / 2 * rng.normal()
        rise = [level * (1 - np.exp(-step / 2)) for step in range(1, STEPS + 1)]
        adapt = plan.spec(cell.adapt_key)
        if not store.is_done(cell.adapt_key):
            _publish(store, adapt, _curve(cell.adapt_key, "score", rise), gpu_h=gpu_h)
        spec = plan.spec(cell.evaluate_key)
        task, ids = facts[cell.task], spec["where"]["cases"]
        if task.kind == "segmentation":
            files = _segmented(cell, task, ids["test"], level, noise, rng)
        else:
            files = _classified(cell, task, ids, level, rng)
        if not store.is_done(cell.evaluate_key):
            _publish(store, spec, files)


def _publish(store, spec, files, *, gpu_h=0.0):
    store.write_spec(spec)
    with store.begin(spec["key"], made_by={}) as attempt:
        for name, write in files.items():
            write(attempt.path(name))
        attempt.note(gpu_h=gpu_h, trainable_params=1000)
        assert attempt.publish() == "published"


def _curve(key, quantity, values, split="val"):
    steps = list(range(10, 10 * len(values) + 10, 10))
    columns = {
        "key": [key] * len(values), "split": [split] * len(values),
        "quantity": [quantity] * len(values), "step": steps,
        "wall_s": [float(step) for step in steps], "value": list(map(float, values)),
    }  # fmt: skip
    return {"curves.parquet": lambda path: write_table(path, build("curves", columns))}


def _segmented(cell, task, ids, level, noise, rng):
    ease = {
        case: np.random.default_rng(at).normal() * 0.08 for at, case in enumerate(ids)
    }
    rows, means = [], {}
    for case in ids:
        own = []
        for structure in task.structures:
            dice = float(np.clip(level + ease[case] + noise * rng.normal(), 0, 1))
            rows.append((case, structure, "dice", dice))
            rows.append((case, structure, "hd95", 12 * (1 - dice)))
            own.append(dice)
        means[case] = float(np.mean(own))
    columns = {
        "key": [cell.evaluate_key] * len(rows), "case_id": [row[0] for row in rows],
        "group_id": [row[0] for row in rows], "structure": [row[1] for row in rows],
        "metric": [row[2] for row in rows], "value": [row[3] for row in rows],
        "diagonal_mm": [60.0] * len(rows),
    }  # fmt: skip
    shown = ids[:6]
    worst = worst_cases(means, shown)
    cut = {
        case: _planes(len(task.structures), means[case], rng)
        for case in [*shown, *worst]
    }
    return {
        "cases.parquet": lambda path: write_table(path, build("cases", columns)),
        "slices.npz": lambda path: write_slices(path, cut, worst),
    }


def _planes(structures, score, rng):
    """Three planes of a ball on noise; the prediction is shifted where it is worse."""
    y, x = np.mgrid[:SIZE, :SIZE]
    planes = []
    for _ in range(3):
        radius = np.hypot(y - SIZE / 2, x - SIZE / 2)
        truth = np.zeros((SIZE, SIZE), np.uint8)
        for label in range(1, structures + 1):
            truth[radius < SIZE * 0.38 * (structures + 1 - label) / structures] = label
        shift = round((1 - score) * 8)
        image = (60 + 90 * (truth > 0) + 15 * rng.normal(size=truth.shape)).clip(0, 255)
        planes.append((image.astype(np.uint8), truth, np.roll(truth, shift, axis=1)))
    return planes


def _classified(cell, task, ids, level, rng):
    classes = len(task.target.classes)
    rows = []
    for side in ("val", "test"):
        for at, case in enumerate(ids[side]):
            truth = at % classes
            scores = rng.dirichlet(np.ones(classes))
            scores[truth] += level * rng.random()
            rows.append((side, case, truth, (scores / scores.sum()).tolist()))
    columns = {
        "key": [cell.evaluate_key] * len(rows), "split": [row[0] for row in rows],
        "case_id": [row[1] for row in rows], "group_id": [row[1] for row in rows],
        "y_true": [row[2] for row in rows], "scores": [row[3] for row in rows],
    }  # fmt: skip
    return {
        "predictions.parquet": lambda path: write_table(
            path, build("predictions", columns)
        )
    }


@contextmanager
def described_here(folder):
    """Describe methods in this process, as the fixture `bench` does; undo it after.

    Nothing is waited for on disk: no test of a report is of what survives a power cut.
    """

    def ask(asked):
        return json.loads(json.dumps(child.answer(json.loads(json.dumps(asked)))))

    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describe, "_ask_child", ask)
        patch.setattr("os.fsync", lambda _: None)
        patch.setenv("MEDSSL_CACHE", str(folder / "cache"))
        patch.delenv("MEDSSL_DATA", raising=False)
        yield
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("methods", "tasks"):
            del sys.modules[name]


def findings_of_store(matrix, store):
    """Return what a report of a matrix has to show; a metric without results is not."""
    plan = make_plan(matrix, store)
    evidence = Evidence(scope_of_plan(plan), StoreReader.of(store))
    drawn = {}
    for metric in evidence.scope.metrics:
        with suppress(UserError):
            drawn.update(tables(evidence, metric))
    return Findings(evidence, drawn, store.done())
