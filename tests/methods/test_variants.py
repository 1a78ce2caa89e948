"""Every named variant (methods/*.yaml) resolves at every tier."""

from pathlib import Path

import pytest

from harness.matrix import load
from harness.schema.task import TIERS

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = sorted(path.stem for path in (ROOT / "methods").glob("*.yaml"))


@pytest.mark.parametrize("tier", TIERS)
def test_variants_resolve(tier, tmp_path):
    assert VARIANTS
    names = "".join(f"  {name}:\n" for name in VARIANTS)
    path = tmp_path / "benchmark.yaml"
    path.write_text(
        f"title: variants\ntier: {tier}\ncorpus: phantoms\ncontent: ['{ROOT}']\n"
        f"methods:\n{names}tasks:\n  phantom_organs:\nprotocols:\n  finetune:\n"
        "label_budgets: [100%]\nseeds: [0]\n"
    )
    assert sorted(each.name for each in load(path).methods) == VARIANTS
