"""The ResNet encoder against MONAI's, its published sizes, and its own contract."""

import re

import pytest
import torch
from monai.networks.nets import ResNet as MonaiResNet
from monai.networks.nets.resnet import ResNetBlock, ResNetBottleneck

from harness.nn.build import build_encoder
from harness.nn.decoder import build_decoder
from harness.nn.settings import ResNetSettings, encoder_tier


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def resnet(channels=1, **settings):
    chosen = ResNetSettings(**{"width": 4, "depths": (1, 2, 1), **settings})
    return build_encoder(chosen, channels, rng())


def monai_names(state):
    """Our names of MONAI's tensors, without its classifier."""
    rules = [
        (r"^conv1\.", "stem."), (r"^bn1\.", "stem_norm."),
        (r"^layer(\d)\.", lambda m: f"stages.{int(m[1]) - 1}."),
        (r"\.bn(\d)\.", r".norm\1."), (r"\.downsample\.", ".shortcut."),
    ]  # fmt: skip
    renamed = {}
    for name, value in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        if not name.startswith("fc."):
            renamed[name] = value
    return renamed


@pytest.mark.parametrize("block", ["bottleneck", "basic"])
@pytest.mark.parametrize("dims", [2, 3])
def test_it_computes_what_monais_does(block, dims):
    width, depths = 4, (1, 2, 1, 1)
    peer = MonaiResNet(
        ResNetBottleneck if block == "bottleneck" else ResNetBlock, depths,
        [width * 2**i for i in range(4)], spatial_dims=dims, n_input_channels=2,
        conv1_t_stride=2, num_classes=3, bias_downsample=False,
    )  # fmt: skip
    ours = resnet(2, width=width, depths=depths, block=block, dims=dims)
    left = ours.load_state_dict(monai_names(peer.state_dict()), strict=False)
    assert left.missing_keys == ["mask_token"]
    assert not left.unexpected_keys
    x = torch.rand(2, 2, *[32] * dims, generator=rng(1))
    pooled = []
    peer.avgpool.register_forward_hook(lambda *io: pooled.append(io[2]))
    peer.train(), ours.train()
    peer(x)
    assert torch.allclose(ours(x).pooled, pooled[0].flatten(1), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "parameters", "width"),
    [
        # 25,557,032 and 11,689,512 are the published totals with a head of 1,000 classes.
        ({}, 25_557_032 - 2_049_000, 2048),
        ({"depths": (2, 2, 2, 2), "block": "basic"}, 11_689_512 - 513_000, 512),
    ],
)
def test_published_sizes(settings, parameters, width):
    with torch.device("meta"):
        model = build_encoder(ResNetSettings(dims=2, **settings), 3, rng())
    counted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert counted == parameters
    assert model.pooled_width == width


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("dims", [2, 3])
def test_maps_have_the_stated_grids_and_a_decoder_joins_them(stem, dims):
    model = resnet(dims=dims, stem=stem)
    x = torch.rand(2, 1, *[32] * dims, generator=rng())
    found = model(x)
    sides = [32 // model.settings.patch // 2**i for i in range(len(found.maps))]
    for each, width, side in zip(found.maps, model.widths, sides, strict=True):
        assert each.shape == (2, width, *[side] * dims)
    assert found.maps[-1].shape[2] == 32 // model.stride
    assert found.units.shape == (2, model.unit_width, *[32 // model.unit] * dims)
    assert torch.allclose(found.pooled, found.maps[-1].flatten(2).mean(dim=2))
    logits = build_decoder(model, 1, 3, rng())(x, found)
    assert logits.shape == (2, 3, *[32] * dims)


def test_hidden_units_are_zero_at_the_input():
    model = resnet(dims=2).eval()
    x = torch.rand(1, 1, 32, 32, generator=rng())
    hidden = torch.zeros(1, *[32 // model.unit] * 2, dtype=torch.bool)
    hidden[0, 0, 0] = True
    zeroed = x.clone()
    zeroed[..., : model.unit, : model.unit] = 0
    assert torch.equal(model(x, mask_units=hidden).pooled, model(zeroed).pooled)
    assert not torch.equal(model(x).pooled, model(zeroed).pooled)


@pytest.mark.parametrize("tier", ["tiny", "small", "demo"])
def test_tiers_build_and_odd_sides_are_padded(tier):
    model = build_encoder(ResNetSettings(**encoder_tier("resnet", tier)), 1, rng())
    assert model(torch.rand(2, 1, 33, 20, 17)).pooled.shape == (2, model.pooled_width)


def test_a_stage_without_a_block_is_refused():
    with pytest.raises(ValueError, match="every stage needs a block"):
        ResNetSettings(depths=(1, 0))


@pytest.mark.parametrize("block", ["bottleneck", "basic"])
def test_dilated_stages_keep_the_grid(block):
    """Med3D: strides 1, 2, 1, 1 and dilations 1, 1, 2, 4 (METHODS 1.23)."""
    model = resnet(depths=(1, 2, 2, 1), dilated=2, block=block)
    inner = [stage[-1].conv2 for stage in model.stages]
    assert [conv.dilation for conv in inner] == [(n,) * 3 for n in (1, 1, 2, 4)]
    assert [conv.dilation for conv in inner] == [conv.padding for conv in inner]
    assert model.stride == 8
    plain = resnet(depths=(1, 2, 2, 1), block=block)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in plain.named_parameters()
    }
    x = torch.rand(1, 1, 16, 24, 16, generator=rng(1))
    features = model.eval()(x)
    shapes = [tuple(each.shape[2:]) for each in features.maps]
    assert shapes == [(8, 12, 8), (4, 6, 4), *[(2, 3, 2)] * 3]
    assert build_decoder(model, 1, 3, rng())(x, features).shape == (1, 3, *x.shape[2:])
    with torch.device("meta"):
        published = build_encoder(ResNetSettings(dilated=2), 1, rng())
    assert published.pooled_width == 2048


def test_a_dilated_convolution_reaches_further():
    """A voxel changes what lies `dilation` places away, not what lies between."""
    model = resnet(depths=(1, 1), dilated=1, block="basic", stem="small").eval()
    conv = model.stages[1][0].conv1
    x = torch.zeros(1, 4, 9, 9, 9)
    x[0, :, 4, 4, 4] = 1
    with torch.no_grad():
        seen = conv(x)[0].abs().sum(dim=0)[:, 4, 4] > 0
    assert [n for n in range(9) if seen[n]] == [2, 4, 6]


def test_too_many_dilated_stages_are_refused():
    with pytest.raises(ValueError, match="of 3 stages at most 2"):
        ResNetSettings(depths=(1, 1, 1), dilated=3)
