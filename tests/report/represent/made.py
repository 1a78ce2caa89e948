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


STAGES = ("stage1", "stage2")


def entropy_of(method, seed, stage, batch):
    """Each method is 0.04 above the one before it, on every batch alike."""
    crops = np.random.default_rng([stage, batch]).normal() * 0.02
    run = np.random.default_rng([method, seed, stage]).normal() * 0.002
    return 0.6 + 0.04 * method + 0.1 * stage + crops + run


def _attention(each, plan):
    """Before fine-tuning a seed counts for what has no pretraining alone."""
    cell = each.cells[0]
    method = list(dict.fromkeys(one.method for one in plan.cells)).index(cell.method)
    rows, arrays = [], {}
    for state in ("before", "after"):
        fixed = state == "before" and cell.pretraining_seed is not None
        seed = cell.pretraining_seed if fixed else cell.seed
        values = np.array(
            [[entropy_of(method, seed, s, b) for s in range(2)] for b in range(BATCHES)]
        )
        arrays[f"{state}.stages"] = np.array(STAGES, dtype=np.str_)
        for name in ("entropy", "entropy_share", "distance_tokens", "distance_mm"):
            arrays[f"{state}.attention_{name}_mean"] = values
            arrays[f"{state}.attention_{name}_sd"] = values / 10
            for place, stage in enumerate(STAGES):
                mean = float(values[:, place].mean())
                layer = f"{state}.{stage}"
                rows.append((layer, f"attention_{name}_mean", mean, 6))
                rows.append((layer, f"attention_{name}_sd", mean / 10, 6))
        rows += [
            (f"{state}.{s}", "attention_distance_entropy", 2.5, 20) for s in STAGES
        ]
    return rows, {"attention.npz": arrays}


def _embedding(each, plan):
    cell = each.cells[0]
    place = list(dict.fromkeys(one.method for one in plan.cells)).index(cell.method)
    rng = np.random.default_rng([place, cell.seed])
    y = np.arange(24) % 2
    planes = rng.normal(size=(2, 24, 2)) + (1 + place) * y[None, :, None]
    rows = [("pooled", "spread", 0.5, 24)]
    for space, scale in (("pooled", 1.0), ("tsne seed=0", 2.0), ("tsne seed=1", 4.0)):
        rows += [
            (space, "intra-class distance", scale * (1 + 0.1 * cell.seed), 24),
            (space, "inter-class distance", scale * (1 + place), 1),
            (space, "silhouette", 0.1 * place + 0.01 * cell.seed, 24),
            (space, "nmi", 0.2 * place, 24),
        ]
    names = np.array([f"case{n:02d}" for n in range(24)], dtype=np.str_)
    return rows, {"planes.npz": {"case_ids": names, "classes": y, "tsne": planes}}


def _pca(each, plan):
    cell = each.cells[0]
    rng = np.random.default_rng(cell.seed)
    images = rng.integers(0, 255, (2, 16, 24, 20), dtype=np.uint8)
    colours = rng.integers(1, 255, (2, 4, 6, 5, 3), dtype=np.uint8)
    colours[:, :2] = 0
    rows = [
        ("layer 1 from the end", f"variance of component {n}", 0.4 / n, 480)
        for n in range(1, 5)
    ] + [("layer 1 from the end", "foreground", 0.5, 480)]
    names = np.array(["case00", "case01"], dtype=np.str_)
    kept = {"case_ids": names, "images": images, "joint": colours, "alone": colours}
    return rows, {"pca.npz": kept}


_MADE = {
    "reuse": _cka, "similarity": _cka, "attention": _attention,
    "embedding": _embedding, "pca": _pca,
}  # fmt: skip
