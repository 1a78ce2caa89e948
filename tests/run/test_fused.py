"""A fusion of pretrained encoders, from the file to attention that is kept."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness.nn.settings import ResNetSettings, SwinSettings, ViTSettings
from harness.run.fused import Fused, FusedShape
from harness.run.optimise import trainable
from harness.run.streams import Streams
from harness.schema.errors import Exit

STREAMS = Streams.of_adaptation("f" * 64, 0)
METHODS = (
    "a: {extends: simmim, steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}, "
    "b: {extends: a, encoder: vit}, fused: {extends: dvme, of: [a, b]}"
)


def shape(tokens="scalar", channels=1, dims=3, **fusion):
    kinds = (SwinSettings, ViTSettings, ResNetSettings)
    member = {"encoder_channels": 1} if channels > 1 else {}
    return FusedShape.of(
        {
            "fusion": {"tokens": tokens, "width": 16, "heads": 2, **fusion},
            "members": [
                {"encoder": {**each.tiers["tiny"], "kind": kind, "dims": dims}, **member}
                for each, kind in zip(kinds, ("swin", "vit", "resnet"), strict=True)
            ],
            "crop": [16, 16, 16], "classes": 3, "channels": channels,
            "task_kind": "classification", "protocol": {},
        }
    )  # fmt: skip


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 2])
def test_vectors_are_those_of_each_encoder_alone(dims, channels):
    model = Fused(shape(channels=channels, dims=dims, last_blocks=3), STREAMS).eval()
    x = torch.rand(
        2, channels, *[16] * dims, generator=torch.Generator().manual_seed(1)
    )
    swin, vit, resnet = model.vectors(x)
    assert [each.shape[1] for each in (swin, vit, resnet)] == list(model.widths)
    for found, part in ((swin, model.parts[0]), (resnet, model.parts[2])):
        alone = [part.encoder(x[:, c : c + 1]).pooled for c in range(channels)]
        assert torch.allclose(found, torch.cat(alone, dim=1), atol=1e-5)
    layers = model.parts[1].last_layers(x, 3)
    assert torch.allclose(vit, torch.cat([each.vector for each in layers], dim=1))
    assert model.widths[1] == 3 * 96 * channels


def test_frozen_encoders_never_train():
    model = Fused(shape(), STREAMS)
    everything = trainable(model)
    model.freeze_encoder()
    model.train()
    assert trainable(model) == trainable(model.fusion) < everything
    assert not any(part.training for part in model.encoder.modules())
    x = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    model(x).square().sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.fusion.parameters())


def test_a_short_vit_has_no_more_blocks_than_it_has():
    model = Fused(shape(last_blocks=9), STREAMS)
    assert model.widths[1] == 4 * 96


def computed(tiny, plan, cells):
    """Compute some cells and what they start from."""
    wanted = {key for cell in cells for key in cell.encoders}
    wanted |= {key for cell in cells for key in (cell.adapt_key, cell.evaluate_key)}
    keys = [key for job in plan.jobs() for key in job.nodes if key in wanted]
    assert tiny.run(keys) == Exit.DONE


def test_a_fusion_from_end_to_end(tiny):
    plan = tiny.plan(
        METHODS, tasks="{nodules: }",
        protocols="{finetune: {steps: 1}, probe: {extends: finetune, freeze: encoder, "
        "steps: 2}}",
    )  # fmt: skip
    tuned, frozen = (cell for cell in plan.cells if cell.method == "fused")
    assert tuned.encoder == "swin+vit"
    assert set(tuned.inputs) == {"encoder.0", "encoder.1"}
    assert tuned.encoders == frozen.encoders
    assert [plan.pretrainings[key].method for key in tuned.encoders] == ["a", "b"]
    computed(tiny, plan, [tuned, frozen])
    model = load_file(tiny.store.file(frozen.adapt_key, "model.safetensors"))
    for number, key in enumerate(frozen.encoders):
        own = load_file(tiny.store.file(key, "encoder.safetensors"))
        for name, value in own.items():
            assert torch.equal(model[f"encoder.{number}.encoder.{name}"], value)
    assert model["fusion.standardise.0.mean"].any()
    count = {
        cell.protocol: tiny.store.manifest(cell.adapt_key).run["trainable_params"]
        for cell in (tuned, frozen)
    }
    assert count["probe"] < count["finetune"]
    assert len(tiny.table(frozen.evaluate_key, "predictions")) == 6
    shares = np.load(tiny.store.file(frozen.evaluate_key, "attention.npz"))["shares"]
    assert np.allclose(shares.sum(axis=1), 1)
    kept = tiny.table(frozen.evaluate_key, "features")
    assert list(kept.quantity) == [f"attention.{i}.{j}" for i in "01" for j in "01"]
    assert np.allclose(kept.value, shares.flatten())
    assert set(kept.n) == {4}


def test_without_attention_none_is_kept(tiny):
    plan = tiny.plan(
        METHODS.replace("of: [a, b]", "of: [a, b], attention: none"), tasks="{nodules: }",
        protocols="{finetune: {freeze: encoder, steps: 1}}",
    )  # fmt: skip
    (cell,) = (cell for cell in plan.cells if cell.method == "fused")
    computed(tiny, plan, [cell])
    files = tiny.store.manifest(cell.evaluate_key).files
    assert "predictions.parquet" in files
    assert not {"attention.npz", "features.parquet"} & set(files)


def test_published_sizes():
    """Table G1 has 3.6 M with frozen encoders; two ResNet-50 (23.5 M each) and a ViT-S
    (21.7 M) join them in fine-tuning: 72.4 M."""
    vit = {"kind": "vit", "width": 384, "heads": 6, "positions": 14}
    joined = FusedShape.of(
        {
            "fusion": {},
            "members": [{"encoder": {**each, "dims": 2}} for each in
                        ({"kind": "resnet"}, {"kind": "resnet"}, vit)],
            "crop": [224, 224], "classes": 5, "channels": 3,
            "task_kind": "classification", "protocol": {},
        }
    )  # fmt: skip
    with torch.device("meta"):
        model = Fused(joined, STREAMS)
    assert model.widths == (2048, 2048, 1536)
    assert round(trainable(model) / 1e6, 1) == 72.4
    model.freeze_encoder()
    assert trainable(model) == 3_677_706
