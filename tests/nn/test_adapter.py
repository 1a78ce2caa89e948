"""The ViT-Adapter: shapes, what it leaves alone at the start, several channels."""

import pytest
import torch

from harness.nn import recompute
from harness.nn.adapter import STRIDES, Adapter
from harness.nn.build import build_encoder
from harness.nn.channels import Merge, apart, for_encoder, mean_of, merges
from harness.nn.decoder import PyramidDecoder
from harness.nn.deformable import DeformableAttention
from harness.nn.settings import ViTSettings


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def vit(dims=3, channels=1, **settings):
    chosen = ViTSettings(**{**ViTSettings.tiers["tiny"], "dims": dims, **settings})
    return build_encoder(chosen, channels, rng()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def frozen():
    return vit()


@pytest.mark.parametrize(
    ("dims", "patch", "channels"), [(3, 8, 1), (3, 16, 2), (2, 8, 3), (2, 4, 1)]
)
def test_the_pyramid_and_its_decoder_fit_the_image(dims, patch, channels):
    encoder = vit(dims, patch=patch)
    adapter = Adapter(encoder, channels, rng(), takes=1)
    decoder = PyramidDecoder(96, len(STRIDES), channels, 5, rng(), dims=dims)
    assert adapter.multiple == 16
    with torch.no_grad():  # queries have no say at the start
        for part in adapter.modules():
            if isinstance(part, DeformableAttention):
                part.offsets.weight.normal_(std=0.01, generator=rng(2))
                part.weights.weight.normal_(std=0.01, generator=rng(2))
    x = torch.rand(1, channels, 32, *[16] * (dims - 1), generator=rng(1))
    pyramid = adapter.eval()(encoder, x)  # no branch is dropped
    shapes = [tuple(side // stride for side in x.shape[2:]) for stride in STRIDES]
    assert [tuple(each.shape) for each in pyramid] == [(1, 96, *s) for s in shapes]
    logits = decoder(x, pyramid)
    assert logits.shape == (1, 5, *x.shape[2:])
    logits.square().mean().backward()
    for part in (adapter, decoder):
        still = [
            name
            for name, each in part.named_parameters()
            if each.grad is None or not each.grad.any()
        ]
        assert not still
    assert all(each.grad is None for each in encoder.parameters())


def test_it_starts_from_the_vit_as_it_is(frozen):
    """At a gain of 0 nothing is injected: the outputs are the ViT's own, unnormalised."""
    adapter = Adapter(frozen, 1, rng())
    gains = [each.gain.gain for each in adapter.injectors]
    assert all(torch.all(gain == 1e-6) for gain in gains)
    x = torch.rand(2, 1, 16, 16, 16, generator=rng(1))
    seen = {}
    for number, merge in enumerate(adapter.merges):
        merge.register_forward_hook(lambda *io, n=number: seen.update({n: io[2]}))
    with torch.no_grad():
        for gain in gains:
            gain.zero_()
        adapter(frozen, x)
        tokens, grid = frozen.start(x)
        for number, block in enumerate(frozen.blocks):  # 4 blocks, 4 groups
            tokens, _ = block(tokens, frozen.drops)
            own = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
            assert torch.allclose(seen[number], own, atol=1e-5)


def test_equal_channels_count_as_one(frozen):
    """Injectors see the mean and hand the same to each channel (METHODS 2.9)."""
    one, three = (
        Adapter(frozen, 1, rng()).eval(),
        Adapter(frozen, 3, rng(), takes=1).eval(),
    )
    own = three.state_dict()
    for name, value in one.state_dict().items():
        if name == "prior.stem.0.0.weight":
            value = value.repeat(1, 3, *[1] * 3) / 3  # the prior sees all channels
        own[name] = value
    three.load_state_dict(own)
    with torch.no_grad():  # strong enough to be seen
        for adapter in (one, three):
            for injector in adapter.injectors:
                injector.gain.gain.fill_(1.0)
    x = torch.rand(2, 1, 16, 16, 16, generator=rng(1))
    into = {1: {}, 3: {}}
    for count, adapter in ((1, one), (3, three)):
        for number, merge in enumerate(adapter.merges):
            merge.register_forward_pre_hook(
                lambda *io, n=number, c=count: into[c].update({n: io[1][0]})
            )
    with torch.no_grad():
        one(frozen, x)
        three(frozen, x.expand(-1, 3, -1, -1, -1))
    assert len(into[1]) == 4
    for number, alone in into[1].items():
        assert not torch.allclose(alone[0], alone[1], atol=1e-2)
        want = alone.repeat_interleave(3, dim=0)
        assert torch.allclose(into[3][number], want, atol=1e-4)


def test_a_channel_changes_nothing_of_another_cases():
    x = torch.randn(2, 3, 4, 4, 4, generator=rng())
    maps = apart(x)  # a case's channels in a row
    assert torch.equal(maps.view(2, 3, 4, 4, 4), x)
    merge = merges((1,), 3, rng())[0]
    assert isinstance(merge, Merge)
    y = merge(maps)
    other = x.clone()
    other[1] += 1
    assert torch.equal(merge(apart(other))[0], y[0])
    weight, bias = merge.linear.weight, merge.linear.bias
    want = torch.nn.functional.gelu((x.movedim(1, -1) @ weight.T) + bias)
    assert torch.allclose(y, want.movedim(-1, 1), atol=1e-6)


def test_the_mean_is_over_the_channels_of_a_case():
    x = torch.randn(2, 3, 4, 4, generator=rng())
    assert torch.allclose(mean_of(apart(x), 3), x.mean(dim=1, keepdim=True), atol=1e-6)


def test_what_an_encoder_gets():
    x = torch.randn(2, 3, 4, 4, generator=rng())
    assert for_encoder(x, 3) is x
    assert torch.equal(for_encoder(x, 1), apart(x))
    assert torch.equal(for_encoder(x[:, :1], 3), x[:, :1].repeat(1, 3, 1, 1))
    with pytest.raises(ValueError, match="an encoder for 2 channels cannot take 3"):
        for_encoder(x, 2)


def test_the_order_of_channels_matters():
    merge = merges((2,), 3, rng())[0]
    x = torch.randn(3, 2, 4, 4, generator=rng())
    assert not torch.allclose(merge(x), merge(x.flip(0)), atol=1e-4)


def test_one_channel_needs_no_merge():
    x = torch.randn(2, 3, 4, 4, generator=rng())
    merge = Merge(1, 3)
    assert merge(x) is x
    assert not list(merge.parameters())


def test_the_same_generator_gives_the_same_adapter(frozen):
    first, again = (Adapter(frozen, 2, rng(3), takes=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_recomputing_changes_no_gradient(frozen):
    adapter = Adapter(frozen, 2, rng(), takes=1).train()
    x = torch.rand(2, 2, 16, 16, 16, generator=rng(1))
    start, found = adapter.drops.get_state(), []
    for answer in (False, True):
        adapter.zero_grad()
        adapter.drops.set_state(start)
        with recompute.enabled(answer):
            pyramid = adapter(frozen, x)
        sum(each.square().mean() for each in pyramid).backward()
        found.append([p.grad.clone() for p in adapter.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_published_sizes():
    """ViT-L: interactions 256 wide, three levels, two more extractors (METHODS 2.3)."""
    with torch.device("meta"):
        encoder = build_encoder(ViTSettings(width=1024, depth=24, heads=16), 1, rng())
        adapter = Adapter(encoder, 1, rng())
    assert [encoder.taps[i] for i in range(4)] == [6, 12, 18, 24]
    assert len(adapter.extractors) == 6
    injector = adapter.injectors[0].attention
    assert injector.values.weight.shape == (256, 1024)
    assert injector.offsets.out_features == 8 * 3 * 4 * 3
    assert adapter.extractors[0].mlp.depthwise.weight.shape == (256, 1, 3, 3, 3)
    widths = [each.weight.shape[1] for each in adapter.prior.widen]
    assert widths == [32, 64, 128, 128]


def test_the_released_order_changes_what_is_injected(frozen):
    x = torch.rand(1, 1, 16, 16, 32, generator=rng(1))
    adapters = [Adapter(frozen, 1, rng(), as_released=flag) for flag in (False, True)]
    states = [each.state_dict() for each in adapters]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with torch.no_grad():
        ours, theirs = (each.eval()(frozen, x)[0] for each in adapters)
    assert not torch.allclose(ours, theirs, atol=1e-3)
