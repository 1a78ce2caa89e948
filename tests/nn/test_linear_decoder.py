import pytest
import torch
from torch.nn import functional

from harness.nn.build import build_encoder
from harness.nn.linear_decoder import LinearDecoder
from harness.nn.settings import ResNetSettings, SwinSettings, ViTSettings
from harness.nn.vit import as_map


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def settings(kind, **more):
    return kind(**{**kind.tiers["tiny"], **more})


ENCODERS = {
    "vit": settings(ViTSettings),
    "swin": settings(SwinSettings),
    "resnet": settings(ResNetSettings),
    "resnet with a small stem": settings(ResNetSettings, stem="small"),
    "dilated resnet": settings(ResNetSettings, dilated=1),
    "vit of images": settings(ViTSettings, dims=2),
}
SIDES = (16, 24, 20)  # the last side divides by no stride


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return build_encoder(ENCODERS[request.param], 1, rng()).eval()


def image(encoder, count=2):
    return torch.rand(count, 1, *SIDES[: encoder.dims], generator=rng(1))


@torch.no_grad()
def test_the_last_layers_have_the_widths_and_strides_that_are_told(encoder):
    x = image(encoder)
    layers = encoder.last_layers(x, 3)
    assert [each.map.shape[1] for each in layers] == list(encoder.layer_widths[-3:])
    for each, stride in zip(layers, encoder.layer_strides[-3:], strict=True):
        cover = [n * stride for n in each.map.shape[2:]]
        pairs = zip(cover, x.shape[2:], strict=True)
        assert all(have <= n < have + encoder.stride for n, have in pairs)
    features = encoder(x)
    assert torch.equal(layers[-1].vector, features.pooled)
    assert torch.equal(layers[-1].map, features.maps[-1])
    everything = encoder.last_layers(x, len(encoder.layer_widths))
    assert len(everything) == len(encoder.layer_widths)
    for all_of_them, some in zip(everything[-3:], layers, strict=True):
        assert torch.equal(all_of_them.map, some.map)


@torch.no_grad()
def test_layers_of_a_vit_are_its_last_blocks_through_the_norm():
    vit = build_encoder(ENCODERS["vit"], 1, rng()).eval()
    x = torch.rand(1, 1, 16, 16, 16, generator=rng(1))
    tokens, grid = vit.start(x)
    blocks = []
    for block in vit.blocks:
        tokens, _ = block(tokens, rng())
        blocks.append(vit.norm(tokens))
    for layer, want in zip(vit.last_layers(x, 4), blocks, strict=True):
        assert torch.equal(layer.vector, want[:, 0])
        assert torch.equal(layer.map, as_map(want[:, 1:], grid))


def plainly(decoder, maps, sides):
    """Side by side, normed, one 1x1x1 convolution, trilinear: for one grid."""
    joined = torch.cat(maps, dim=1)
    means = joined.mean(dim=(0, 2, 3, 4), keepdim=True)
    var = joined.var(dim=(0, 2, 3, 4), keepdim=True, correction=0)
    weight = torch.cat([each.weight for each in decoder.classify], dim=1)
    y = functional.conv3d(
        (joined - means) / (var + 1e-5).sqrt(), weight, decoder.classify[0].bias
    )
    size = [n * decoder.strides[0] for n in y.shape[2:]]
    voxels = functional.interpolate(y, size=size, mode="trilinear")
    return voxels[:, :, : sides[0], : sides[1], : sides[2]]


@torch.no_grad()
def test_on_one_grid_it_is_batch_norm_and_one_linear_layer():
    decoder = LinearDecoder([5, 5, 7], [4, 4, 4], 1, 3, rng())
    decoder.classify[0].bias.fill_(0.3)
    sides = (8, 7, 12)
    maps = [torch.randn(2, c, 2, 2, 3, generator=rng(c)) for c in (5, 5, 7)]
    want = plainly(decoder, maps, sides)
    assert torch.allclose(decoder(maps, sides), want, atol=1e-5)


@torch.no_grad()
def test_grids_of_several_sizes_are_summed_where_voxels_are():
    decoder = LinearDecoder([5, 6], [2, 4], 1, 3, rng()).eval()
    fine = torch.randn(2, 5, 4, 4, 4, generator=rng(1))
    coarse = torch.randn(2, 6, 2, 2, 2, generator=rng(2))
    sides = (8, 8, 8)
    zero = [torch.zeros_like(fine), torch.zeros_like(coarse)]
    both = decoder([fine, coarse], sides)
    one = decoder([fine, zero[1]], sides)
    other = decoder([zero[0], coarse], sides)
    neither = decoder(zero, sides)
    assert torch.allclose(both + neither, one + other, atol=1e-5)
    assert not torch.allclose(one, neither)
    assert not torch.allclose(other, neither)


def test_channels_that_passed_alone_share_one_merge_where_widths_are_equal():
    decoder = LinearDecoder([5, 5, 6], [4, 4, 8], 2, 3, rng())
    assert sorted(decoder.merges) == ["5", "6"]
    assert decoder.merges["5"].linear.weight.shape == (5, 10)
    maps = [torch.randn(4, 5, 2, 2, 2), torch.randn(4, 5, 2, 2, 2)]
    logits = decoder([*maps, torch.randn(4, 6, 1, 1, 1)], (8, 8, 8))
    assert logits.shape == (2, 3, 8, 8, 8)
