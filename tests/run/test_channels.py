"""Tasks with several channels on encoders that were pretrained on one."""

import json

from safetensors.torch import load_file

from harness.schema.errors import Exit

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def test_each_channel_passes_the_pretrained_encoder(tiny):
    plan = tiny.plan(
        SIMMIM, tasks="{pairs: {protocols: [finetune, linear_decoder]}, "
        "graded_pairs: {protocols: [finetune, linear_probe]}}",
        protocols="{finetune: {steps: 2, freeze: encoder}, linear_probe: {}, "
        "linear_decoder: {steps: 1}}",
    )  # fmt: skip
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    cells = {(cell.task, cell.protocol): cell for cell in plan.cells}
    key = str(plan.cells[0].pretrain_key)
    own = load_file(tiny.store.file(key, "encoder.safetensors"))
    for cell in cells.values():
        about = json.loads(tiny.store.file(cell.adapt_key, "model.json").read_text())
        assert about["channels"] == ["a", "b"]
        assert about["settings"]["encoder_channels"] == 1
        model = load_file(tiny.store.file(cell.adapt_key, "model.safetensors"))
        assert all((model[f"encoder.{name}"] == own[name]).all() for name in own)
        merges = [name for name in model if name.startswith("merges.")]
        assert bool(merges) == ((cell.task, cell.protocol) == ("pairs", "finetune"))
    cases = tiny.table(cells["pairs", "finetune"].evaluate_key, "cases")
    assert set(cases.structure) == {"big", "small"}
    for protocol in ("finetune", "linear_probe"):
        cell = cells["graded_pairs", protocol]
        assert len(tiny.table(cell.evaluate_key, "predictions")) == 6
