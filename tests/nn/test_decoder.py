"""The decoder: shapes, sizes, skips, and the published number of parameters."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from harness.nn.build import build_encoder
from harness.nn.decoder import POINTWISE, CnnDecoder, PlainDecoder, build_decoder
from harness.nn.settings import SwinSettings, ViTSettings
from harness.nn.swin import Swin


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
        other = replace(features, maps=tuple(maps))
        assert not torch.allclose(decoder(x, other), plain)


def test_same_generator_same_decoder():
    one, two = (CnnDecoder((4, 8, 16), 1, 2, 2, rng(3)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pointwise_equals_the_convolution():
    layer = POINTWISE[3](3, 5, 1)
    x = torch.rand(2, 3, 4, 5, 6)
    want = nn.functional.conv3d(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), want)


def test_the_paper_network_is_of_48_channels_at_full_resolution():
    with torch.device("meta"):
        encoder = Swin(SwinSettings(), 1, torch.Generator("cpu"))
        decoder = CnnDecoder(encoder.widths, 1, 14, 2, torch.Generator("cpu"))
    assert encoder.widths == (48, 96, 192, 384, 768)
    assert decoder.classify.in_channels == 48


def test_scaled_down_networks_are_narrower_at_full_resolution():
    assert CnnDecoder((24, 48), 1, 2, 2, rng()).classify.in_channels == 12
    wide = CnnDecoder((24, 48), 1, 2, 2, rng(), full_width=24)
    assert wide.classify.in_channels == 24


def plain(patch, dims=3, width=96, classes=3):
    settings = ViTSettings(
        patch=patch, width=width, depth=4, heads=3, positions=2, dims=dims, drop_path=0
    )
    encoder = build_encoder(settings, 1, rng())
    return encoder, build_decoder(encoder, 1, classes, rng(1))


@pytest.mark.parametrize(("patch", "used"), [(16, 4), (8, 3), (4, 2), (2, 1)])
def test_a_plain_encoder_is_decoded_from_as_many_taps_as_its_patch_has_levels(
    patch, used
):
    encoder, decoder = plain(patch)
    assert isinstance(decoder, PlainDecoder)
    x = torch.rand(1, 1, 2 * patch, patch + 1, 2 * patch, generator=rng(2))
    features = encoder(x)
    logits = decoder(x, features)
    assert logits.shape == (1, 3, *x.shape[2:])
    assert not torch.allclose(decoder(x.flip(2), features), logits)
    reached = []
    for i in range(4):
        maps = list(features.maps)
        maps[i] = maps[i].flip(2) + 1
        other = decoder(x, replace(features, maps=tuple(maps)))
        reached.append(not torch.allclose(other, logits))
    assert reached == [False] * (4 - used) + [True] * used


def test_a_plain_encoder_s_paper_decoder_has_the_published_channels():
    """UNETR blocks with a 32-channel base: 32, 64, 128, 256 (METHODS 2.2)."""
    with torch.device("meta"):
        decoder = PlainDecoder((768,) * 4, 1, 14, 16, torch.Generator("cpu"))
    assert [up.up.out_channels for up in decoder.ups] == [256, 128, 64, 32]
    assert decoder.classify.in_channels == 32


def test_a_patch_without_levels_is_refused():
    with pytest.raises(ValueError, match="2, 4, 8 or 16, not 12; the nearest is 8"):
        plain(12)


@pytest.mark.parametrize(
    "settings",
    [
        SwinSettings(width=4, depths=(1, 1), heads=(1, 1), window=2, dims=2),
        ViTSettings(patch=8, width=12, depth=4, heads=3, positions=2, dims=2),
    ],
)
def test_images_are_decoded_too(settings):
    encoder = build_encoder(settings, 1, rng())
    decoder = build_decoder(encoder, 1, 3, rng(1))
    x = torch.rand(2, 1, 32, 48)
    assert decoder(x, encoder(x)).shape == (2, 3, 32, 48)
