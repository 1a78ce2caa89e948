"""Two entries on corpora of two modalities, from the benchmark file to both pictures."""

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from harness.cli import main

ROOT = Path(__file__).resolve().parents[3]
TEXT = """
tier: tiny
content: [{content}, {root}]
methods:
  simmim: {{corpus: [organs_ct], steps: 1, warmup: 0, batch: 1}}
  simmim_mr: {{extends: simmim, corpus: [organs_mr]}}
protocols: {{finetune: {{steps: 1, warmup: 0, batch: 1, val_every: 1, overlap: 0}}}}
tasks: [organs_ct]
label_budgets: [100%]
analyses:
  reuse: {{samples: 4, batch: 4}}
"""
CHANGES = {
    "spacing: [3.0, 3.0, 4.0]": "spacing: [8, 8, 10]",
    "cases: 60": "cases: 6",
    "seed: 0}": "seed: 0, settings: {train: 1, val: 1, test: 4}}",
    "metrics: [dice, hd95]": "metrics: [dice]",
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A run whose two corpora are the same organs, each called by another modality."""
    home = tmp_path_factory.mktemp("modality")
    for kind in ("tasks", "methods"):
        (home / kind).mkdir()
    for name, modality in (("organs_ct", "CT"), ("organs_mr", "MR")):
        text = (ROOT / "tasks" / "phantom_organs.yaml").read_text()
        own = {"modality: synthetic CT": f"modality: {modality}"}
        for old, new in (CHANGES | own).items():
            assert old in text
            text = text.replace(old, new)
        if modality == "MR":  # other patients
            text = text.replace("seed: 0,", "seed: 1,")
        (home / "tasks" / f"{name}.yaml").write_text(text)
    path = home / "benchmark.yaml"
    path.write_text(dedent(TEXT.format(content=home, root=ROOT)))
    words = ["-b", str(path), "--results", str(home / "results")]
    assert main([*words, "run", "--cluster", "inline"]) == 0
    return words


def test_both_tables_say_in_and_across(words, capsys):
    assert main([*words, "report", "--table", "cross-modality"]) == 0
    said = capsys.readouterr().out
    assert "organs_ct (synthetic), CT, finetune" in said
    first = [line.split()[0] for line in said.splitlines() if " simmim_mr " in line]
    assert first[:3] == ["all", "liver", "spleen"]
    assert len(first) == 11  # ten structures and all of them
    assert main([*words, "report", "--table", "reuse-by-modality"]) == 0
    said = capsys.readouterr().out
    stages = [line.split()[0] for line in said.splitlines() if " simmim_mr " in line]
    assert stages == ["stem", "stage1", "stage2", "stage3"]
    assert " MR " in said


@pytest.mark.parametrize(
    ("name", "rows"), [("cross_modality", 11), ("reuse_by_modality", 4)]
)
def test_each_has_its_picture(words, tmp_path, name, rows):
    name = f"{name}_organs_ct_finetune"
    assert main([*words, "report", "--figure", name, "--out", str(tmp_path)]) == 0
    (picture,) = tmp_path.rglob(f"{name}.png")
    assert picture.stat().st_size > 5000
    drawn = np.genfromtxt(
        picture.with_suffix(".csv"), delimiter=",", names=True, dtype=None,
        encoding="utf8",
    )  # fmt: skip
    assert len(drawn) == rows
    assert drawn["difference"] == pytest.approx(drawn["own"] - drawn["cross"])
    assert set(drawn["other_modality"]) == {"MR"}
