"""Publish made-up rows of the analyses of a plan, by rules that tests can rely on."""

import numpy as np

from harness.store.tables import build, write_table

LAYERS = ("stem", "stage1.block1", "stage1.merge", "stage2.block1", "decoder.up1")
SAMPLES, BATCHES = 32, 4


def measure(plan, store, *, skip=None):
    """Publish every analysis of a kind that is known here; `skip` leaves some out."""
    for each in plan.analyses:
        if each.base in _MADE and (skip is None or not skip(each)):
            rows, arrays = _MADE[each.base](each, plan)
            publish(store, plan.spec(each.key), rows, arrays)


def publish(store, spec, rows, arrays=None):
    """Publish one analyse node. rows: (layer, quantity, value, n)."""
    layer, quantity, value, n = zip(*rows, strict=True)
    columns = {"key": [spec["key"]] * len(rows), "layer": list(layer),
               "quantity": list(quantity), "value": list(value), "n": list(n)}  # fmt: skip
    store.write_spec(spec)
    with store.begin(spec["key"], made_by={}) as attempt:
        write_table(attempt.path("features.parquet"), build("features", columns))
        for name, some in (arrays or {}).items():
            np.savez_compressed(attempt.path(name), **some)
        assert attempt.publish() == "published"


def cka_of(method, budget, seed, layer):
    """Reuse falls with depth and with labels; each method keeps 0.05 more."""
    rng = np.random.default_rng([method, budget, seed, layer])
    return 0.9 - 0.1 * layer - 0.1 * budget + 0.05 * method + 0.01 * rng.normal()


def _cka(each, plan):
    methods = list(dict.fromkeys(cell.method for cell in plan.cells))
    budgets = list(dict.fromkeys(cell.budget for cell in plan.cells))
    cell = each.cells[0]
    place = methods.index(cell.method), budgets.index(cell.budget), cell.seed
    values = [cka_of(*place, layer) for layer in range(len(LAYERS))]
    rows = []
    for i, (name, value) in enumerate(zip(LAYERS, values, strict=True)):
        rows += [
            (name, "cka", value, SAMPLES),
            (name, "cka_low", value - 0.04, BATCHES),
            (name, "cka_high", value + 0.04, BATCHES),
        ]
        rows += [
            (f"{name} | {other}", "cka", value - 0.05 * abs(i - j), SAMPLES)
            for j, other in enumerate(LAYERS)
        ]
    whole = [
        [value - 0.05 * abs(i - j) for j in range(len(LAYERS))]
        for i, value in enumerate(values)
    ]
    names = np.array(LAYERS, dtype=np.str_)
    return rows, {"cka.npz": {"cka": np.array(whole), "rows": names, "columns": names}}


_MADE = {"reuse": _cka, "similarity": _cka}
