"""A second stage of pretraining starts from the encoder of the first."""

import pytest
import torch
from safetensors.torch import load_file

from harness.run.outputs import named_output
from harness.schema.errors import DataError, Exit

from .conftest import ROOT


def test_a_second_stage_starts_from_the_weights_of_the_first(tiny):
    small = "steps: 2, crop: [16, 16, 16], region: [20, 20, 20]"
    plan = tiny.plan(
        f"simmim: {{{small}}}, later: {{extends: simmim, init: simmim, lr: 1.0e-12}}",
        seeds="0",
    )
    keys = [key for job in plan.jobs() if job.kind == "pretrain" for key in job.nodes]
    assert len(keys) == 2
    assert tiny.run(keys) == Exit.DONE
    first, second = (
        load_file(tiny.store.file(key, "encoder.safetensors")) for key in keys
    )
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=1e-9, rtol=0)


def test_a_second_stage_waits_for_the_first(tiny):
    plan = tiny.plan("later: {extends: simmim, init: simmim, steps: 1}")
    first, second = (job.nodes[0] for job in plan.jobs() if job.kind == "pretrain")
    assert tiny.run([second]) == Exit.BLOCKED
    assert first[:16] in str(tiny.last(second))


def test_a_head_that_a_method_declares_is_published_beside_its_encoder(tiny):
    source = ROOT / "methods" / "swin_unetr.py"
    tiny.bench.add("methods/swin_unetr.py", source.read_text())
    small = "steps: 1, crop: [16, 16, 16], region: [16, 16, 16], code: 5"
    plan = tiny.plan(f"swin_unetr: {{{small}}}, simmim: {{steps: 1}}")
    keys = {one.method: key for key, one in plan.pretrainings.items()}
    assert tiny.run(list(keys.values())) == Exit.DONE
    head = named_output(tiny.store, keys["swin_unetr"], "contrast")
    encoder = load_file(tiny.store.file(keys["swin_unetr"], "encoder.safetensors"))
    assert not any("head" in name for name in encoder)
    assert (head.out_features, head.in_features) == (5, 96)  # tier tiny: 12 x 2^3
    with pytest.raises(DataError, match="has no output 'contrast': it keeps none"):
        named_output(tiny.store, keys["simmim"], "contrast")
