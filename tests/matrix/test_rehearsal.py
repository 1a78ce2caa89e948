"""What a rehearsal reads of a benchmark file: everything but sizes and lengths."""

from harness.matrix import load

TEXT = """
tier: paper
corpus: [organs]
methods:
  plain: {encoder: {width: 96, window: 4, qkv_bias: false}}
  masked: {steps: 9000, mask_ratio: 0.8, batch: 512, tiers: {paper: {lr: 7}}}
  own: {extends: masked, mask_ratio: 0.5, tiers: {tiny: {steps: 3}}}
protocols:
  finetune: {steps: 30000, freeze: encoder, crop: [96, 96, 96]}
tasks: {organs: {crop: [96, 96, 96]}}
"""


def _rehearsed(bench, text=TEXT):
    bench.load(text.replace("tier: paper", "tier: tiny"))  # writes the file
    (bench.root / "benchmark.yaml").write_text(text)
    return load(bench.root / "benchmark.yaml", rehearsal=True)


def test_sizes_are_the_tiers_and_the_rest_is_the_files(bench):
    matrix = _rehearsed(bench)
    plain, masked, own = matrix.methods
    assert matrix.tier == "tiny"
    assert (plain.encoder["width"], plain.encoder["window"]) == (12, 2)
    assert plain.encoder["qkv_bias"] is False
    assert (masked.settings["steps"], masked.settings["batch"]) == (4, 2)
    assert (masked.settings["mask_ratio"], own.settings["mask_ratio"]) == (0.8, 0.5)
    assert masked.settings["lr"] == 1e-3
    assert own.settings["steps"] == 3  # meant for this tier


def test_protocols_and_crops_are_cut_as_well(bench):
    matrix = _rehearsed(bench)
    finetune = matrix.protocols["finetune"]
    assert (finetune.settings.steps, finetune.settings.freeze) == (5, "encoder")
    assert finetune.crop is None
    assert matrix.tasks[0].crop == (16, 16, 16)
