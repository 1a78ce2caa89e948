"""A frozen ViT with an adapter: what trains, what stays, cells from end to end."""

import json

import pytest
import torch
from safetensors.torch import load_file

from harness.nn.objectives import dice_ce
from harness.nn.settings import ViTSettings
from harness.run.networks import AdapterSegmenter, Shape
from harness.run.optimise import trainable
from harness.run.streams import Streams
from harness.schema.errors import Exit
from harness.schema.protocols import FrozenAdapter

STREAMS = Streams.of_adaptation("f" * 64, 0)
PROTOCOL = FrozenAdapter().model_dump(mode="json")


def network(channels=1, encoder_channels=None, dims=3):
    encoder = ViTSettings(
        **{**ViTSettings.tiers["tiny"], "drop_path": 0.5, "dims": dims}
    )
    shape = Shape(
        encoder=encoder, crop=(16, 16, 16), classes=3, channels=channels,
        encoder_channels=encoder_channels, task_kind="segmentation", protocol=PROTOCOL,
    )  # fmt: skip
    return AdapterSegmenter(shape, STREAMS)


@pytest.mark.parametrize("channels", [1, 2])
def test_adapter_merge_layers_and_decoder_train_and_nothing_else(channels):
    model = network(channels, 1 if channels > 1 else None).train()
    named = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in named} == {"adapter", "decoder"}
    merges = [name for name in named if name.startswith("adapter.merges.")]
    assert len(merges) == (8 if channels > 1 else 0)  # weight and bias of four groups
    assert trainable(model) == trainable(model.adapter) + trainable(model.decoder)
    assert not any(part.training for part in model.encoder.modules())
    before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
    x = torch.rand(2, channels, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(x).square().mean().backward()
    optimiser.step()
    lacking = [n for n, p in model.named_parameters() if p.grad is None]
    assert all(name.startswith("encoder.") for name in lacking)
    assert len(lacking) == len(list(model.encoder.named_parameters()))
    after = model.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("sides", [(16, 16, 16), (20, 24, 18), (17, 30)])
def test_sides_that_do_not_divide_are_padded_and_cut_back(sides):
    model = network(dims=len(sides)).eval()
    x = torch.rand(1, 1, *sides, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert model(x).shape == (1, 3, *sides)


def test_a_cell_from_end_to_end(tiny):
    plan = tiny.plan(
        "simmim: {encoder: vit, steps: 2, crop: [16, 16, 16], region: [20, 20, 20]}",
        protocols="{frozen_adapter: {steps: 2}}", tasks="{pairs: }",
    )  # fmt: skip
    (cell,) = plan.cells
    assert tiny.run(tiny.nodes(plan)) == Exit.DONE
    run = tiny.store.manifest(cell.adapt_key).run
    model = load_file(tiny.store.file(cell.adapt_key, "model.safetensors"))
    own = load_file(tiny.store.file(str(cell.pretrain_key), "encoder.safetensors"))
    assert all(torch.equal(model[f"encoder.{name}"], own[name]) for name in own)
    weights = [
        value.numel()
        for name, value in model.items()
        if not name.startswith("encoder.") and "running_" not in name
        and not name.endswith("num_batches_tracked")
    ]  # fmt: skip
    assert run["trainable_params"] == sum(weights)
    about = json.loads(tiny.store.file(cell.adapt_key, "model.json").read_text())
    assert about["protocol"] == "frozen_adapter"
    assert len(tiny.table(cell.evaluate_key, "cases")) == 4 * 2 * 2


def test_it_learns_a_fixed_batch():
    """A random ViT, a ball in noise: the Dice loss falls far below its start."""
    rng = torch.Generator().manual_seed(1)
    model = network().train()
    x = 0.3 * torch.rand(2, 1, 16, 16, 16, generator=rng)
    place = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij"))
    middles = torch.tensor([[5.0, 6, 9], [10.0, 8, 5]])
    away = (place - middles.view(2, 3, 1, 1, 1)).square().sum(dim=1)
    labels = (away < 16).long()
    x += 0.5 * labels.unsqueeze(1)
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], 3e-3
    )
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = dice_ce(model(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
