"""Protocol linear_decoder, from a plan to scores."""

import torch
from safetensors.torch import load_file

from harness.run.adapt.start import network_of
from harness.run.networks import LinearSegmenter, Shape
from harness.run.optimise import trainable
from harness.run.streams import Streams
from harness.schema.errors import Exit

SIMMIM = "simmim: {steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}"


def test_a_cell_trains_the_decoder_alone(tiny):
    plan = tiny.plan(SIMMIM, protocols="{linear_decoder: {steps: 2, layers: 3}}")
    pretrain, adapt, evaluate = keys = tiny.nodes(plan)
    assert tiny.run(keys) == Exit.DONE
    store = tiny.store
    before = load_file(store.file(pretrain, "encoder.safetensors"))
    after = load_file(store.file(adapt, "model.safetensors"))
    assert all(torch.equal(after[f"encoder.{n}"], v) for n, v in before.items())
    # Three layers of 24, 48 and 96 channels: batch norm, weights of 3 classes, one bias.
    width = 24 + 48 + 96
    run = store.manifest(adapt).run
    assert run["trainable_params"] == 2 * width + 3 * width + 3
    cases = tiny.table(evaluate, "cases")
    assert len(cases) == 4 * 2 * 2  # cases, structures, metrics
    assert cases[cases.metric == "dice"].value.between(0, 1).all()


def test_several_channels_on_an_encoder_of_one():
    encoder = {"kind": "vit", "patch": 8, "width": 24, "depth": 4, "heads": 3}
    shape = Shape.of(
        {
            "encoder": encoder, "crop": (16, 16, 16), "classes": 3, "channels": 2,
            "encoder_channels": 1, "task_kind": "segmentation",
            "protocol": {"layers": 4},
        }
    )  # fmt: skip
    network = network_of("linear_decoder", shape, Streams.of_adaptation("f" * 64, 0))
    assert isinstance(network, LinearSegmenter)
    merge, norms, classify = (48 + 1) * 24, 4 * 2 * 24, 4 * 24 * 3 + 3
    assert trainable(network) == merge + norms + classify
    assert network(torch.rand(2, 2, 16, 16, 16)).shape == (2, 3, 16, 16, 16)


def test_more_layers_than_the_encoder_has_are_refused(bench):
    text = (
        "tier: tiny\ncorpus: [organs]\nmethods: {masked: }\n"
        "protocols: {linear_decoder: {layers: 5}}\ntasks: [organs]\n"
    )
    assert [message for _, message in bench.mistakes(text)] == [
        "masked is run with linear_decoder on organs: layers asks for the last 5 layers, "
        "and this swin has 4: the nearest is 4"
    ]
