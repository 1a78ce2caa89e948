import pytest
import torch

from harness.nn.settings import ResNetSettings, SwinSettings, ViTSettings
from harness.run.networks import Classifier, Segmenter, Shape
from harness.run.optimise import make_optimiser, trainable
from harness.run.streams import Streams


def shape(width: int = 12, **changes) -> Shape:
    encoder = {**SwinSettings.tiers["tiny"], "width": width, "drop_path": 0.5}
    return Shape(
        encoder=SwinSettings(**encoder), crop=(16, 16, 16), classes=3, channels=1,
        task_kind="segmentation", protocol={}, **changes,
    )  # fmt: skip


STREAMS = Streams.of_adaptation("f" * 64, 0)
X = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [Segmenter, Classifier])
def test_a_frozen_encoder_never_trains(kind):
    network = kind(shape(), STREAMS)
    everything = trainable(network)
    network.freeze_encoder()
    network.train()
    assert not any(part.training for part in network.encoder.modules())
    head = network.decoder if kind is Segmenter else network.head
    assert head.training
    assert trainable(network) == trainable(head) < everything
    before = {k: v.clone() for k, v in network.encoder.state_dict().items()}
    optimiser = make_optimiser(network, 0.1, weight_decay=0.5)
    changed = [p.clone() for p in head.parameters()]
    network(X).square().sum().backward()
    optimiser.step()
    assert all(p.grad is None for p in network.encoder.parameters())
    after = network.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    moved = zip(changed, head.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in moved)


def test_the_encoder_trains_unless_frozen():
    network = Segmenter(shape(), STREAMS).train()
    network(X).square().sum().backward()
    lacking = [n for n, p in network.named_parameters() if p.grad is None]
    assert lacking == ["encoder.mask_token"]


def test_arms_with_one_seed_start_from_the_same_decoder():
    first = Segmenter(shape(), STREAMS)
    with torch.no_grad():  # as if another encoder had been loaded
        for parameter in first.encoder.parameters():
            parameter.zero_()
    second = Segmenter(shape(), Streams.of_adaptation("f" * 64, 0))
    other = Segmenter(shape(), Streams.of_adaptation("f" * 64, 1))
    ours, theirs = first.decoder.state_dict(), second.decoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    weight = "bottleneck.conv1.weight"
    assert not torch.equal(ours[weight], other.decoder.state_dict()[weight])


def test_streams_of_one_purpose_do_not_shift_another():
    draws = [STREAMS.rng(p).initial_seed() for p in ("order", "augmentation", "head")]
    assert len(set(draws)) == 3
    assert STREAMS.rng("order").initial_seed() == draws[0]


ENCODERS = {"swin": SwinSettings, "vit": ViTSettings, "resnet": ResNetSettings}


def several(encoder: str, task_kind: str = "segmentation") -> Shape:
    """A task of three channels on an encoder for one."""
    settings = ENCODERS[encoder]
    return Shape(
        encoder=settings(**settings.tiers["tiny"]), crop=(16, 16, 16), classes=4,
        channels=3, encoder_channels=1, task_kind=task_kind, protocol={},
    )  # fmt: skip


@pytest.mark.parametrize("encoder", ENCODERS)
def test_channels_pass_an_encoder_for_one_alone(encoder):
    network = Segmenter(several(encoder), STREAMS)
    network.freeze_encoder()
    x = torch.rand(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    seen = {}
    for number, merge in enumerate(network.merges):
        merge.register_forward_pre_hook(
            lambda *io, n=number: seen.update({n: io[1][0]})
        )
    logits = network(x)
    assert logits.shape == (2, 4, 16, 16, 16)
    for channel in range(3):
        alone = network.encoder(x[:, channel : channel + 1]).maps
        for number, want in enumerate(alone[-len(network.merges) :]):
            found = seen[number].view(2, 3, *want.shape[1:])[:, channel]
            assert torch.allclose(found, want, atol=1e-5)
    logits.square().mean().backward()
    lacking = [n for n, p in network.named_parameters() if p.grad is None]
    assert all(name.startswith("encoder.") for name in lacking)
    assert all(p.grad is None for p in network.encoder.parameters())


def test_vectors_of_channels_stand_side_by_side():
    network = Classifier(several("vit", "classification"), STREAMS).eval()
    x = torch.rand(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    pooled = network.features(x).pooled
    alone = [network.encoder(x[:, i : i + 1]).pooled for i in range(3)]
    assert torch.allclose(pooled, torch.cat(alone, dim=1), atol=1e-5)
    assert network(x).shape == (2, 4)


def test_an_encoder_for_all_channels_needs_no_merge():
    whole = several("swin").model_copy(update={"encoder_channels": None})
    network = Segmenter(whole, STREAMS)
    assert not list(network.merges.parameters())
    assert network(torch.rand(1, 3, 16, 16, 16)).shape == (1, 4, 16, 16, 16)


@pytest.mark.parametrize("task_kind", ["segmentation", "classification"])
def test_a_grey_image_is_repeated_for_an_encoder_for_colours(task_kind):
    grey = several("swin", task_kind).model_copy(
        update={"encoder_channels": 3, "channels": 1}
    )
    kind = Segmenter if task_kind == "segmentation" else Classifier
    network = kind(grey, STREAMS).eval()
    x = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    want = network.encoder(x.repeat(1, 3, 1, 1, 1)).pooled
    assert torch.equal(network.features(x).pooled, want)
    assert len(network(x)) == 2
