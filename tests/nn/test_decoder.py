"""The decoder: shapes, sizes, skips, and the published number of parameters."""

import pytest
import torch
from torch import nn

from harness.nn.decoder import CnnDecoder, _Pointwise
from harness.nn.features import Features
from harness.nn.swin import Swin, SwinSettings


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def network(classes=3, **settings):
    given = {"width": 4, "heads": (1, 1, 1), "window": 2, "depths": (1, 1, 1)}
    chosen = SwinSettings(**{**given, "drop_path": 0.0, **settings})
    encoder = Swin(chosen, 1, rng())
    return encoder, CnnDecoder(encoder.widths, 1, classes, chosen.patch, rng(1))


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((16, 16, 32), {}),
        ((17, 20, 13), {}),  # nothing divides
        ((16, 16, 16), {"patch": 1}),
        ((16, 16, 16), {"patch": 4}),
        ((32, 32, 32), {"depths": (1,) * 4, "heads": (1,) * 4}),  # 1x1x1 bottleneck
    ],
)
def test_logits_have_the_size_of_the_volume_and_everything_learns(size, settings):
    encoder, decoder = network(**settings)
    x = torch.rand(2, 1, *size)
    logits = decoder.train()(x, encoder(x))
    assert logits.shape == (2, 3, *size)
    logits.square().mean().backward()
    lost = [n for n, p in decoder.named_parameters() if p.grad is None]
    assert not lost


def test_every_skip_and_the_image_reach_the_logits():
    encoder, decoder = network()
    x = torch.rand(1, 1, 32, 32, 32)
    features = encoder(x)
    plain = decoder(x, features)
    assert not torch.allclose(decoder(x.flip(2), features), plain)
    for i in range(len(features.maps)):
        maps = list(features.maps)
        maps[i] = maps[i].flip(2)
        other = Features(tuple(maps), features.merged, features.pooled)
        assert not torch.allclose(decoder(x, other), plain)


def test_same_generator_same_decoder():
    one, two = (CnnDecoder((4, 8, 16), 1, 2, 2, rng(3)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pointwise_equals_the_convolution():
    layer = _Pointwise(3, 5, 1)
    x = torch.rand(2, 3, 4, 5, 6)
    want = nn.functional.conv3d(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), want)


def test_paper_network_has_the_published_size():
    """SMIT's segmentation net at depths (2, 2, 8, 2) has about 64.7 M (METHODS 0)."""
    with torch.device("meta"):
        encoder = Swin(SwinSettings(), 1, torch.Generator("cpu"))
        decoder = CnnDecoder(encoder.widths, 1, 14, 2, torch.Generator("cpu"))
    count = sum(p.numel() for net in (encoder, decoder) for p in net.parameters())
    assert encoder.widths == (48, 96, 192, 384, 768)
    assert decoder.classify.in_channels == 48
    assert count == pytest.approx(64.7e6, rel=0.005)


def test_scaled_down_networks_are_narrower_at_full_resolution():
    assert CnnDecoder((24, 48), 1, 2, 2, rng()).classify.in_channels == 12
    wide = CnnDecoder((24, 48), 1, 2, 2, rng(), full_width=24)
    assert wide.classify.in_channels == 24
