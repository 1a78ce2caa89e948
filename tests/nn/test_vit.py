"""The ViT encoder against plain loops and MONAI's, and its own contract."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.nn.build import build_encoder
from harness.nn.positions import resized
from harness.nn.settings import ViTSettings, encoder_tier

SMALL = {"patch": 4, "width": 12, "depth": 4, "heads": 3, "positions": 2}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def vit(channels=1, **settings):
    chosen = ViTSettings(**{**SMALL, "drop_path": 0.0, **settings})
    model = build_encoder(chosen, channels, rng()).eval()
    with torch.no_grad():
        noise = rng(1)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2)
    return model


def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
    return x * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def linear(x, layer):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def slow_attention(part, x):
    """One query, head and key at a time. Returns tokens and the class token's row."""
    n, c = x.shape
    d = c // part.heads
    qkv = linear(x, part.qkv)
    out, rows = np.zeros((n, c)), []
    for head in range(part.heads):
        own = slice(head * d, (head + 1) * d)
        q, k, v = (qkv[:, i * c : (i + 1) * c][:, own] for i in range(3))
        for i in range(n):
            weights = np.array([math.exp(q[i] @ k[j] / math.sqrt(d)) for j in range(n)])
            weights /= weights.sum()
            out[i, own] = sum(w * v[j] for j, w in enumerate(weights))
            if i == 0:
                rows.append(weights[1:])
    row = np.mean(rows, axis=0)
    return linear(out, part.out), row / row.sum()


def slow_vit(model, volume):
    """volume: (D, H, W). Returns tokens after each block, normed, and the last row."""
    patch, kernel = model.settings.patch, model.stem.weight.detach().numpy()[:, 0]
    tokens = []
    for place in np.ndindex(*(side // patch for side in volume.shape)):
        cube = volume[tuple(slice(patch * a, patch * (a + 1)) for a in place)]
        position = model.positions.detach().numpy()[(0, slice(None), *place)]
        patch_token = (kernel * cube).sum(axis=(1, 2, 3)) + model.stem.bias.tolist()
        tokens.append(patch_token + position)
    cls = (model.class_token + model.class_position).detach().numpy()
    x, row, after = np.stack([cls, *tokens]), None, []
    for block in model.blocks:
        y, row = slow_attention(block.attention, norm(x, block.norm1))
        gain = 1.0
        if model.settings.layer_scale:
            gain = block.scale1.gain.detach().numpy()
        x = x + gain * y
        inner = linear(norm(x, block.norm2), block.mlp[0])
        inner = torch.nn.functional.gelu(torch.from_numpy(inner)).numpy()
        if model.settings.layer_scale:
            gain = block.scale2.gain.detach().numpy()
        x = x + gain * linear(inner, block.mlp[2])
        after.append(norm(x, model.norm))
    return after, row


@pytest.mark.parametrize("layer_scale", [None, 1e-5])
def test_encoder_equals_plain_loops(layer_scale):
    model = vit(layer_scale=layer_scale).double()
    volume = torch.rand(8, 8, 8, generator=rng(2), dtype=torch.float64)
    features = model(volume[None, None])
    after, row = slow_vit(model, volume.numpy())
    for got, want in zip(features.maps, after, strict=True):
        flat = got[0].flatten(1).T.detach().numpy()
        np.testing.assert_allclose(flat, want[1:], atol=1e-9)
    np.testing.assert_allclose(features.cls[0].detach(), after[-1][0], atol=1e-9)
    np.testing.assert_allclose(features.attention[0].flatten(), row, atol=1e-6)
    assert features.pooled is features.cls
    assert torch.equal(features.units, features.maps[-1])


def test_agrees_with_monai():
    monai = pytest.importorskip("monai.networks.nets.vit")
    theirs = monai.ViT(
        in_channels=2, img_size=(8, 8, 8), patch_size=(4, 4, 4), hidden_size=12,
        mlp_dim=48, num_layers=4, num_heads=3, classification=True, qkv_bias=True,
    )  # fmt: skip
    ours = vit(channels=2)
    for part in ours.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = 1e-5  # MONAI's
    with torch.no_grad():
        noise = rng(3)
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.2)
        own = theirs.state_dict()
        state = {
            "class_token": own["cls_token"][0, 0],
            "class_position": torch.zeros(12),
            "mask_token": torch.zeros(12),
            "positions": own["patch_embedding.position_embeddings"]
            .transpose(1, 2)
            .reshape(1, 12, 2, 2, 2),
        }
        for name, tensor in own.items():
            name = name.replace("patch_embedding.patch_embeddings", "stem")
            name = name.replace("attn.qkv", "attention.qkv")
            name = name.replace("attn.out_proj", "attention.out")
            name = name.replace("mlp.linear1", "mlp.0").replace("mlp.linear2", "mlp.2")
            if name in ours.state_dict():
                state[name] = tensor
    ours.load_state_dict(state)
    x = torch.rand(2, 2, 8, 8, 8, generator=rng(4))
    theirs.classification_head = torch.nn.Identity()
    with torch.no_grad():
        want, hidden = theirs(x)
        features = ours(x)
        torch.testing.assert_close(features.cls, want, atol=1e-5, rtol=1e-4)
        third = theirs.norm(hidden[2])[:, 1:].transpose(1, 2).reshape(2, 12, 2, 2, 2)
        torch.testing.assert_close(features.maps[2], third, atol=1e-5, rtol=1e-4)


def test_taps_are_those_of_unetr():
    with torch.device("meta"):
        large = build_encoder(ViTSettings(depth=24), 1, torch.Generator("cpu"))
        small = build_encoder(ViTSettings(depth=12), 1, torch.Generator("cpu"))
    assert large.taps == (6, 12, 18, 24)
    assert small.taps == (3, 6, 9, 12)


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        # 12 blocks of 12 C^2 + 13 C, norm, stem 16^3 C + C, positions, tokens
        ({}, 88.37),
        # ViT-L: 302.3 M in its blocks, as the 2-D ViT-L has, plus stem and positions
        ({"width": 1024, "depth": 24, "heads": 16, "layer_scale": 1e-5}, 306.78),
    ],
)
def test_paper_encoders_have_the_size_that_their_settings_give(settings, millions):
    chosen = ViTSettings(**settings)
    with torch.device("meta"):
        model = build_encoder(chosen, 1, torch.Generator("cpu"))
    count = sum(p.numel() for p in model.parameters())
    c, n = chosen.width, chosen.depth
    blocks = n * (12 * c * c + 13 * c + (2 * c if chosen.layer_scale else 0))
    around = 2 * c + (16**3 * c + c) + 6**3 * c + 3 * c
    assert count == blocks + around
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_positions_are_kept_at_their_own_grid_and_resized_elsewhere():
    model = vit()
    own = resized(model.positions, (2, 2, 2))
    assert torch.equal(own, model.positions.movedim(1, -1))
    for axis in range(3):
        grid = [4 if each == axis else 2 for each in range(3)]
        wide = resized(model.positions, grid)[0].movedim(axis, 0)
        assert wide.shape == (4, 2, 2, 12)
        a, b = own[0].movedim(axis, 0)
        # linear between cell centres: 1/4 and 3/4 of the way, clamped outside
        want = torch.stack([a, a + (b - a) * 0.25, a + (b - a) * 0.75, b])
        torch.testing.assert_close(wide, want, atol=1e-6, rtol=0)
    assert model(torch.rand(1, 1, 12, 9, 16)).maps[0].shape[2:] == (3, 3, 4)


def test_hidden_patches_are_not_seen_but_their_place_is():
    model = vit()
    x = torch.rand(1, 1, 8, 8, 8, generator=rng(2))
    hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    hidden[0, 1, 0, 1] = True
    changed = x.clone()
    changed[0, 0, 4:, :4, 4:] += 1
    for fill in ("token", "zero"):
        one, two = (model(v, mask_units=hidden, fill=fill).cls for v in (x, changed))
        assert torch.equal(one, two)
        alike = model(x, mask_units=torch.ones_like(hidden), fill=fill).maps[-1]
        places = alike.flatten(2)[0].T  # nothing but their position tells them apart
        assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1


def test_encoding_all_patches_equals_the_whole_and_fewer_leaves_them_out():
    model = vit()
    x = torch.rand(2, 1, 8, 8, 8, generator=rng(2))
    whole = model(x)
    order = torch.randperm(8, generator=rng(3)).expand(2, 8)
    tokens = model.encode_kept(x, order)
    torch.testing.assert_close(tokens[:, 0], whole.cls)
    flat = whole.units.flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens[:, 1:], flat[:, order[0]])
    few = model.encode_kept(x, order[:, :3])
    assert few.shape == (2, 4, 12)
    changed = x.clone()
    d, h, w = np.unravel_index(int(order[0, 5]), (2, 2, 2))
    changed[:, :, 4 * d : 4 * d + 4, 4 * h : 4 * h + 4, 4 * w : 4 * w + 4] += 1
    assert torch.equal(model.encode_kept(changed, order[:, :3]), few)


@pytest.mark.parametrize(
    ("rule", "rates"), [("linear", [0, 0.1, 0.2, 0.3]), ("uniform", [0.3] * 4)]
)
def test_drop_path_rises_or_is_uniform_and_draws_from_the_generator(rule, rates):
    model = vit(drop_path=0.3, drop_path_rule=rule).train()
    assert [round(b.drop_path, 6) for b in model.blocks] == rates
    x = torch.rand(4, 1, 8, 8, 8)
    one, two = (model(x, rng=rng(1)).pooled for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, model(x, rng=rng(2)).pooled)
    model.eval()
    assert torch.equal(model(x).pooled, model(x).pooled)


def test_images_work_too():
    features = vit(dims=2)(torch.rand(2, 1, 8, 12))
    assert features.units.shape == (2, 12, 2, 3)
    assert features.attention.shape == (2, 2, 3)


@pytest.mark.parametrize("tier", ["tiny", "small", "demo"])
def test_tiers_can_be_built(tier):
    model = build_encoder(ViTSettings(**encoder_tier("vit", tier)), 1, rng())
    assert model.settings.drop_path == 0
    assert model.unit == model.stride == 8


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"heads": 5}, "must divide"), ({"depth": 3}, "greater than or equal to 4")],
)
def test_settings_that_cannot_be_built_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        ViTSettings(**{**SMALL, **settings})
