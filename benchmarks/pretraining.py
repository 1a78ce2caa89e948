"""Where a pretraining step spends its time, in the loop that jobs run.

Pretrains on phantom volumes under cProfile and adds up what is outside network and loss:
regions read from the cache, views, corruptions and masks, the monitors of collapse, the
optimiser, and what follows a step (teacher, centres). Swin of C = 24 and ViT-S with
patches of 8, crops of 64^3, 4 regions a step, one thread.

Run: python benchmarks/pretraining.py [--steps 6] [--methods simmim smit ...]
"""

from __future__ import annotations

import argparse
import cProfile
import logging
import os
import pstats
import tempfile
from pathlib import Path

from harness.matrix import load
from harness.plan import make_plan
from harness.run.cell import run_nodes
from harness.store import Store

ROOT = Path(__file__).resolve().parents[1]
ENCODERS = {
    "swin": "{kind: swin, width: 24, depths: [2, 2, 2, 2], heads: [2, 4, 8, 8], window: 4}",
    "vit": "{kind: vit, patch: 8, width: 384, depth: 12, heads: 6, positions: 8}",
}
METHODS = ("simmim", "smit", "dino3d", "models_genesis")
# Of each group the functions that contain all of its work: (file, function).
GROUPS = {
    "regions": [("run/regions.py", "sample")],
    "views, masks": [
        ("nn/views.py", "random_view"), ("methods/dino3d.py", "cut_views"),
        ("nn/masking.py", "random_units"), ("methods/dino3d.py", "_mask"),
        ("methods/models_genesis.py", "corrupt"), ("nn/intensity.py", "sometimes"),
    ],
    "monitors": [("run/collapse.py", "_encoder"), ("run/collapse.py", "look")],
    "optimiser": [("run/optimise.py", "step")],
    "after a step": [("run/pretrain.py", "<lambda>")],
}  # fmt: skip
INSIDE = {"sometimes": "corrupt"}  # counted only where the other is not its caller


def profiled(method: str, encoder: str, steps: int, folder: Path) -> pstats.Stats:
    """Pretrain in this process; return the profile."""
    path = folder / f"{method}-{encoder}.yaml"
    path.write_text(
        f"tier: demo\ncorpus: [phantom_organs]\ncontent: ['{ROOT}']\n"
        f"methods: {{{method}: {{encoder: {ENCODERS[encoder]}, crop: [64, 64, 64], "
        f"region: [80, 80, 80], batch: 4, steps: {steps}}}}}\n"
        "protocols: {finetune: }\ntasks:\n  phantom_organs:\n    cases: 10\n"
        "    format: {kind: generated, generator: phantom_organs, seed: 0, "
        "settings: {train: 8, val: 1, test: 1}}\n"
    )
    store = Store(folder / "results")
    plan = make_plan(load(path), store)
    plan.write_specs(store, plan.jobs())
    key = plan.jobs()[0].nodes[0]
    profile = cProfile.Profile()
    profile.enable()
    done = run_nodes(str(store.root), [key], threads=1)
    profile.disable()
    if done:
        msg = f"{method} on {encoder} failed: {store.attempts(key)[-1]}"
        raise SystemExit(msg)
    return pstats.Stats(profile)


def seconds(stats: pstats.Stats, file: str, function: str) -> float:
    """Return the cumulative seconds of a function, without those inside another group's."""
    total = 0.0
    for (path, _, name), (*_, spent, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if path.endswith(file) and name == function:
            outer = INSIDE.get(function)
            parts = [each[3] for by, each in callers.items() if by[2] != outer]
            total += sum(parts) if outer else spent
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    options = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("MEDSSL_CACHE", f"{folder}/cache")
        print(f"shares of {options.steps} steps, %: network and loss, then the rest")
        print(f"  {'':24} {'network':>9}" + "".join(f"{name:>14}" for name in GROUPS))
        for method in options.methods:
            for encoder in ENCODERS if method != "dino3d" else ("vit",):
                stats = profiled(method, encoder, options.steps, Path(folder))
                total = seconds(stats, "run/training.py", "_step")
                after = seconds(stats, *GROUPS["after a step"][0])
                spent = {
                    name: sum(seconds(stats, *each) for each in functions)
                    for name, functions in GROUPS.items()
                }
                whole = total + after
                inside = whole - sum(spent.values())
                shares = [inside, *spent.values()]
                print(
                    f"  {method + ' on ' + encoder:24}"
                    + "".join(
                        f"{100 * each / whole:{10 if not i else 14}.1f}"
                        for i, each in enumerate(shares)
                    )
                    + f"   {whole / options.steps:.2f} s a step",
                    flush=True,
                )


if __name__ == "__main__":
    main()
