"""Tasks with several channels on encoders that were pretrained on one."""

import json

from safetensors.torch import load_file

from harness.schema.errors import Exit

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def test_each_channel_passes_the_pretrained_encoder(tiny):
    plan = tiny.plan(
        SIMMIM, protocols="{finetune: {steps: 2, freeze: encoder}}",
        tasks="{pairs: , graded_pairs: }",
    )  # fmt: skip
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    voxels, image = plan.cells
    own = load_file(tiny.store.file(str(voxels.pretrain_key), "encoder.safetensors"))
    for cell in (voxels, image):
        model = load_file(tiny.store.file(cell.adapt_key, "model.safetensors"))
        assert all((model[f"encoder.{name}"] == own[name]).all() for name in own)
        about = json.loads(tiny.store.file(cell.adapt_key, "model.json").read_text())
        assert about["channels"] == ["a", "b"]
        assert about["settings"]["encoder_channels"] == 1
    merges = [name for name in model if name.startswith("merges.")]
    assert not merges  # of a classifier, whose vectors stand side by side
    assert set(tiny.table(voxels.evaluate_key, "cases").structure) == {"big", "small"}
    assert len(tiny.table(image.evaluate_key, "predictions")) == 6
