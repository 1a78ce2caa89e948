"""Every named variant (methods/*.yaml) resolves at every tier."""

from pathlib import Path

import pytest
import yaml

from harness.matrix import load
from harness.schema.task import TIERS

from .conftest import kind

ROOT = Path(__file__).resolve().parents[2]
# Those of a file are in test_presets.py: each needs tasks of its own, and weights.
VARIANTS = sorted(
    path.stem
    for path in (ROOT / "methods").glob("*.yaml")
    if "extends: checkpoint\n" not in path.read_text()
)


def entry(name):
    """Return what a file must say of a variant: a fusion's members, of others nothing."""
    stem = name
    while (path := ROOT / "methods" / f"{stem}.yaml").exists():
        stem = yaml.safe_load(path.read_text())["extends"]
    return "{of: [simclr, dino]}" if kind(stem).role == "fusion" else ""


@pytest.mark.parametrize("tier", TIERS)
def test_variants_resolve(tier, tmp_path):
    assert VARIANTS
    names = "".join(f"  {name}: {entry(name)}\n" for name in VARIANTS)
    path = tmp_path / "benchmark.yaml"
    path.write_text(
        f"title: variants\ntier: {tier}\ncorpus: phantoms\ncontent: ['{ROOT}']\n"
        f"methods:\n{names}tasks:\n  phantom_nodule_grade:\nprotocols:\n  finetune:\n"
        "label_budgets: [100%]\nseeds: [0]\n"
    )
    assert sorted(each.name for each in load(path).methods) == VARIANTS


def test_attmasks_variants_hide_as_much_as_it_does(tmp_path):
    """They differ in where they hide and in hints alone (METHODS 1.16)."""
    path = tmp_path / "benchmark.yaml"
    path.write_text(
        f"tier: paper\ncorpus: phantoms\ncontent: ['{ROOT}']\n"
        "methods: [attmask, attmask_high, attmask_low]\n"
        "tasks: [phantom_nodule_grade]\nprotocols: [finetune]\n"
    )
    masks = [dict(each.settings["mask"]) for each in load(path).methods]
    assert [(each.pop("kind"), each.pop("hints")) for each in masks] == [
        ("high", 0.1), ("high", 0.0), ("low", 0.0),
    ]  # fmt: skip
    assert masks[0] == masks[1] == masks[2]
    assert (masks[0]["ratio"], masks[0]["probability"]) == ([0.1, 0.5], 0.5)
    assert masks[0]["rounding"] == "down"  # METHODS 1.27
