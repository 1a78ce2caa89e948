"""The encoder against a slow reference and against MONAI, and its own contract."""

import copy
import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from harness.nn import attention
from harness.nn.build import build_encoder
from harness.nn.masking import spread
from harness.nn.swin import Swin, SwinSettings

SMALL = {"width": 4, "depths": (2, 2), "heads": (1, 2), "window": 2, "drop_path": 0.0}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def swin(channels=1, **settings):
    model = Swin(SwinSettings(**{**SMALL, **settings}), channels, rng())
    with torch.no_grad():  # zeros and ones would hide mistakes
        noise = rng(1)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2)
    return model


# ------------------------------------------------------------- the slow reference


def norm(x, layer=None):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    if layer is None:
        return x
    return x * layer.weight.detach().numpy() + layer.bias.detach().numpy()


def linear(x, layer):
    y = x @ layer.weight.detach().numpy().T
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def gelu(x):
    return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()


def slow_attention(part, x, *, shifted):
    """Loop over pairs of tokens: same window, same side of the wrap, or nothing."""
    grid, c, d = x.shape[:3], x.shape[3], x.shape[3] // part.heads
    window = [min(part.window, side) for side in grid]
    shift = [part.window // 2 if shifted and side > part.window else 0 for side in grid]
    padded = [-(-s // w) * w for s, w in zip(grid, window, strict=True)]
    full = np.zeros((*padded, c))
    full[: grid[0], : grid[1], : grid[2]] = x
    qkv = linear(full, part.qkv).reshape(*padded, 3, part.heads, d)
    table = part.offset_bias.detach().numpy()
    out = np.zeros((*padded, part.heads, d))
    tokens = list(itertools.product(*(range(p) for p in padded)))
    rolled = {
        t: [(a - s) % p for a, s, p in zip(t, shift, padded, strict=True)]
        for t in tokens
    }
    home = {
        t: tuple(a // w for a, w in zip(rolled[t], window, strict=True)) for t in tokens
    }
    wrapped = {t: tuple(a < s for a, s in zip(t, shift, strict=True)) for t in tokens}
    span = 2 * part.window - 1
    for i in tokens:
        near = [j for j in tokens if home[i] == home[j] and wrapped[i] == wrapped[j]]
        for head in range(part.heads):
            scores = []
            for j in near:
                row = 0
                for a, b in zip(rolled[i], rolled[j], strict=True):
                    row = row * span + (a - b + part.window - 1)
                q, k = qkv[(*i, 0, head)], qkv[(*j, 1, head)]
                scores.append(q @ k / np.sqrt(d) + table[row, head])
            weights = np.exp(np.array(scores) - max(scores))
            weights /= weights.sum()
            out[(*i, head)] = sum(
                w * qkv[(*j, 2, head)] for w, j in zip(weights, near, strict=True)
            )
    out = linear(out.reshape(*padded, c), part.out)
    return out[: grid[0], : grid[1], : grid[2]]


def slow_merge(part, x):
    half = [-(-side // 2) for side in x.shape[:3]]
    joined = np.zeros((*half, 8 * x.shape[3]))
    for place in itertools.product(*(range(side) for side in half)):
        for corner, step in enumerate(itertools.product(range(2), repeat=3)):
            at = tuple(2 * a + s for a, s in zip(place, step, strict=True))
            if all(a < side for a, side in zip(at, x.shape[:3], strict=True)):
                c = x.shape[3]
                joined[place][corner * c : (corner + 1) * c] = x[at]
    return linear(norm(joined, part.norm), part.reduce)


def slow_swin(model, volume, hidden=None):
    """volume: (D, H, W), one channel. Returns maps and merged maps, channel-last."""
    patch = model.settings.patch
    grid = [-(-side // patch) for side in volume.shape]
    full = np.zeros([side * patch for side in grid])
    full[tuple(slice(side) for side in volume.shape)] = volume
    kernel = model.stem.weight.detach().numpy()[:, 0]
    x = np.zeros((*grid, len(kernel)))
    for place in itertools.product(*(range(side) for side in grid)):
        cube = full[tuple(slice(patch * a, patch * (a + 1)) for a in place)]
        x[place] = (kernel * cube).sum(axis=(1, 2, 3)) + model.stem.bias.tolist()
    if model.settings.patch_norm:
        x = norm(x, model.stem_norm)
    if hidden is not None:
        side = model.unit // patch
        for place in itertools.product(*(range(s) for s in grid)):
            if hidden[tuple(a // side for a in place)]:
                x[place] = model.mask_token.detach().numpy()
    maps, merged = [], []
    for stage in model.stages:
        for number, block in enumerate(stage.blocks):
            x = x + slow_attention(
                block.attention, norm(x, block.norm1), shifted=number % 2 == 1
            )
            inner = gelu(linear(norm(x, block.norm2), block.mlp[0]))
            x = x + linear(inner, block.mlp[2])
        maps.append(norm(x))
        x = slow_merge(stage.merge, x)
        merged.append(norm(x))
    return [*maps, merged[-1]], merged


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((8, 8, 8), {}),
        ((10, 6, 7), {}),  # odd sides: padded windows, merges and patches
        ((12, 8, 6), {"window": 3, "shrunk_bias": "offsets"}),
        ((4, 6, 5), {"patch": 1, "patch_norm": False, "qkv_bias": False}),
    ],
)
@pytest.mark.parametrize("learning", [True, False])
def test_encoder_equals_plain_loops(size, settings, learning, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK_BYTES", 3000)
    model = swin(**settings).double()
    volume = torch.rand(size, generator=rng(2), dtype=torch.float64)
    with torch.set_grad_enabled(learning):
        features = model(volume[None, None])
    maps, merged = slow_swin(model, volume.numpy())
    for ours, slow in zip(
        (*features.maps, *features.merged), (*maps, *merged), strict=True
    ):
        got = ours[0].movedim(0, -1).detach().numpy()
        np.testing.assert_allclose(got, slow, atol=1e-7)
    np.testing.assert_allclose(
        features.pooled[0].detach(), merged[-1].mean(axis=(0, 1, 2)), atol=1e-7
    )


def test_hidden_units_are_replaced_by_the_mask_token():
    model = swin().double()
    volume = torch.rand(12, 8, 8, generator=rng(2), dtype=torch.float64)
    hidden = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    hidden[0, 0, 1, 0] = hidden[0, 2, 0, 1] = True
    features = model(volume[None, None], mask_units=hidden)
    maps, _ = slow_swin(model, volume.numpy(), hidden[0].numpy())
    got = features.maps[0][0].movedim(0, -1).detach().numpy()
    np.testing.assert_allclose(got, maps[0], atol=1e-7)

    changed = volume.clone()
    changed[0:4, 4:8, 0:4] += 1  # voxels of the first hidden unit
    again = model(changed[None, None], mask_units=hidden)
    assert torch.equal(again.maps[-1], features.maps[-1])
    assert not torch.equal(model(changed[None, None]).maps[-1], features.maps[-1])


def test_single_tokens_of_the_stem_can_be_hidden():
    model = swin().double()
    volume = torch.rand(1, 1, 12, 8, 8, generator=rng(2), dtype=torch.float64)
    units = torch.rand(1, 3, 2, 2, generator=rng(3)) < 0.5
    tokens = spread(units, 2)  # a unit of 4 voxels has two tokens along each axis
    want, got = model(volume, mask_units=units), model(volume, mask_units=tokens)
    assert torch.equal(want.maps[-1], got.maps[-1])

    tokens = torch.zeros(1, 6, 4, 4, dtype=torch.bool)
    tokens[0, 0, 2, 1] = True
    changed = volume.clone()
    changed[..., 0:2, 4:6, 2:4] += 1  # its voxels
    want, got = (model(x, mask_units=tokens, fill="zero") for x in (volume, changed))
    assert torch.equal(want.maps[0], got.maps[0])
    changed[..., 0:2, 4:6, 4:6] += 1  # those of a neighbour
    assert not torch.equal(model(changed, mask_units=tokens).maps[0], got.maps[0])


# ---------------------------------------------------------------------- MONAI

MONAI_NAMES = {
    "downsample.reduction": "merge.reduce",
    "downsample.norm": "merge.norm",
    "attn.relative_position_bias_table": "attention.offset_bias",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "mlp.linear1": "mlp.0",
    "mlp.linear2": "mlp.2",
}
# MONAI's order of the neighbours that a merge joins; ours counts in binary.
NEIGHBOURS = {8: [0, 4, 2, 1, 6, 5, 3, 7], 4: [0, 2, 1, 3]}


def monai_state(tensors, corners=8):
    """Map MONAI's names (and its order in merges) to ours."""
    state = {}
    for name, tensor in tensors.items():
        if name.endswith("relative_position_index"):
            continue
        name = name.replace("patch_embed.proj", "stem")
        name = name.replace("patch_embed.norm", "stem_norm")
        for theirs, ours in MONAI_NAMES.items():
            name = name.replace(theirs, ours)
        if name.startswith("layers"):
            stage, _, rest = name.removeprefix("layers").split(".", 2)
            name = f"stages.{int(stage) - 1}.{rest}"
        if ".merge." in name:
            groups = tensor.unflatten(-1, (corners, -1)).unbind(-2)
            theirs = NEIGHBOURS[corners]
            order = [groups[theirs.index(corner)] for corner in range(corners)]
            tensor = torch.cat(order, dim=-1)
        state[name] = tensor
    return state


@pytest.mark.parametrize(
    ("window", "size", "patch_norm"),
    [
        (4, (32, 32, 40), True),
        (4, (18, 33, 21), False),
        (7, (32, 19, 14), False),  # windows shrink, grids need padding
    ],
)
def test_agrees_with_monai_in_maps_and_all_gradients(window, size, patch_norm):
    monai = pytest.importorskip("monai.networks.nets.swin_unetr")
    settings = {"depths": (2, 2, 2, 2), "heads": (3, 3, 6, 12), "window": window}
    ours = swin(channels=2, **settings, width=12, patch_norm=patch_norm)
    theirs = monai.SwinTransformer(
        in_chans=2,
        embed_dim=12,
        window_size=(window,) * 3,
        patch_size=(2, 2, 2),
        depths=settings["depths"],
        num_heads=settings["heads"],
        patch_norm=patch_norm,
        norm_layer=torch.nn.LayerNorm,
    )
    with torch.no_grad():
        noise = rng(3)
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.1)
    missing, unexpected = ours.load_state_dict(
        monai_state(theirs.state_dict()), strict=False
    )
    assert (missing, unexpected) == (["mask_token"], [])

    x = torch.rand(1, 2, *size, generator=rng(4))
    want, got = theirs(x)[1:], ours(x).merged
    loss_ours, loss_theirs = torch.zeros(()), torch.zeros(())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)
        weight = torch.randn(a.shape, generator=noise)
        loss_ours, loss_theirs = (
            loss_ours + (a * weight).sum(),
            loss_theirs + (b * weight).sum(),
        )
    with torch.no_grad():
        for a, b in zip(ours(x).merged, want, strict=True):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)

    loss_ours.backward()
    loss_theirs.backward()
    expected = monai_state({n: p.grad for n, p in theirs.named_parameters()})
    found = {n: p.grad for n, p in ours.named_parameters() if n != "mask_token"}
    assert found.keys() == expected.keys()
    assert sum("offset_bias" in name for name in found) == 8
    for name, gradient in found.items():
        scale = expected[name].abs().max().item()
        assert scale > 0, name
        torch.testing.assert_close(
            gradient, expected[name], atol=1e-4 * scale, rtol=1e-3, msg=name
        )


# ------------------------------------------------------------------- contract


@pytest.mark.parametrize("tier", ["tiny", "small", "demo"])
def test_tiers_state_their_grids(tier):
    model = build_encoder(SwinSettings(**SwinSettings.tiers[tier]), 1, rng())
    with torch.no_grad():
        features = model(torch.rand(2, 1, 32, 32, 64))
    stages = len(model.settings.depths)
    assert [m.shape[1] for m in features.maps] == list(model.widths)
    for i, found in enumerate(features.maps):
        assert found.shape[2:] == (16 >> i, 16 >> i, 32 >> i)
    assert [m.shape[1] for m in features.merged] == list(model.widths[1:])
    assert features.pooled.shape == (2, model.widths[-1])
    assert model.unit == 2**stages
    assert model.stride == 2 * model.unit
    assert model.settings.drop_path == 0
    assert SwinSettings().drop_path == 0.1


def test_same_generator_same_weights_whatever_the_global_state():
    torch.rand(3)
    one = Swin(SwinSettings(**SMALL), 1, rng(5)).state_dict()
    torch.rand(7)
    two = Swin(SwinSettings(**SMALL), 1, rng(5)).state_dict()
    other = Swin(SwinSettings(**SMALL), 1, rng(6)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["mask_token"], other["mask_token"])


def test_export_loads_whole_and_gives_the_same_features():
    model = swin()
    fresh = Swin(model.settings, 1, rng(9))
    fresh.load_state_dict(copy.deepcopy(model.state_dict()))
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(model(x).maps[1], fresh(x).maps[1])


def test_drop_path_draws_from_the_generator_it_is_given():
    model = swin(drop_path=0.8).train()
    x = torch.rand(4, 1, 8, 8, 8)
    one, two = (model(x, rng=rng(1)).pooled for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, model(x, rng=rng(2)).pooled)
    assert not torch.equal(model(x).pooled, model(x).pooled)  # its own generator
    twin = copy.deepcopy(model)
    before = torch.get_rng_state()
    assert torch.equal(model(x).pooled, twin(x).pooled)
    assert torch.equal(before, torch.get_rng_state())
    model.eval()
    assert torch.equal(model(x).pooled, model(x).pooled)


def test_drop_path_keeps_the_mean_and_rises_with_depth():
    model = swin(drop_path=0.3)
    blocks = [block for stage in model.stages for block in stage.blocks]
    assert [round(b.drop_path, 6) for b in blocks] == [0, 0.1, 0.2, 0.3]
    x = torch.ones(20_000, 1, 1, 1, 1)
    dropped = blocks[-1].train()._drop(x, rng())
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depths": (2, 2), "heads": (1,)}, "one number per stage"),
        ({"width": 10, "depths": (2,), "heads": (3,)}, "heads must divide"),
        ({"mask_ratio": 0.7}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_built_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        SwinSettings(**settings)


def test_short_masks_are_refused():
    hidden = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="does not cover"):
        swin()(torch.rand(1, 1, 8, 8, 8), mask_units=hidden)
