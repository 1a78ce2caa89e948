"""VoCo: overlaps, the three terms against loops and by hand, and the crops."""

import math

import pytest
import torch
from torch.nn import functional

from harness.api import resolve
from methods.voco import overlaps, voco_terms

from .conftest import kind, rng, stirred, tiny
from .test_paper import built


def test_overlaps_are_the_shares_of_volume_and_sum_to_one():
    grid, base = (1, 2, 3), (4, 6, 5)
    start = torch.tensor([[[0, 3, 7], [0, 0, 10], [0, 6, 0]]])
    y = overlaps(start, grid, base)
    for t, place in enumerate(start[0].tolist()):
        target = torch.zeros(4, 12, 15)
        a, b, c = place
        target[a : a + 4, b : b + 6, c : c + 5] = 1
        n = 0
        for j in range(2):
            for k in range(3):
                inside = target[:, 6 * j : 6 * j + 6, 5 * k : 5 * k + 5].sum() / 120
                assert y[0, t, n].item() == pytest.approx(inside.item())
                n += 1
    assert torch.allclose(y.sum(dim=-1), torch.ones(1, 3))


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def test_the_terms_equal_plain_loops():
    g = rng()
    t, n = (torch.randn(2, k, 5, generator=g, dtype=torch.float64) for k in (3, 4))
    y = torch.rand(2, 3, 4, generator=g, dtype=torch.float64)
    y[y < 0.4] = 0
    pos = weight = neg = zeros = reg = pairs = 0.0
    for b in range(2):
        for i in range(3):
            for j in range(4):
                p = max(0.0, cosine(t[b, i].tolist(), n[b, j].tolist()))
                share = y[b, i, j].item()
                pos -= share * math.log(1 - abs(share - p) + 1e-6)
                weight += share
                neg += p * p * (share == 0)
                zeros += share == 0
        for i in range(4):
            for j in range(4):
                if i != j:
                    reg += max(0.0, cosine(n[b, i].tolist(), n[b, j].tolist())) ** 2
                    pairs += 1
    found = [each.item() for each in voco_terms(t, n, y)]
    assert found == pytest.approx([pos / weight, neg / zeros, reg / pairs])


def test_the_terms_by_hand():
    eye = torch.eye(2).unsqueeze(0)
    # Targets equal to their bases, bases orthogonal: nothing is left but 1e-6.
    pos, neg, reg = (each.item() for each in voco_terms(eye, eye, eye))
    assert pos == pytest.approx(-math.log(1 + 1e-6), abs=1e-7)
    assert neg == reg == 0
    # Each target equal to the other's base: p = 0 where y = 1, p = 1 where y = 0.
    pos, neg, reg = (each.item() for each in voco_terms(eye.flip(1), eye, eye))
    assert pos == pytest.approx(-math.log(1e-6), rel=1e-3)
    assert neg == pytest.approx(1)
    # Bases alike: reg is 1.
    same = torch.ones(1, 2, 2)
    assert voco_terms(eye, same, eye)[2].item() == pytest.approx(1)


def test_crops_are_cut_where_they_are_said_to_be():
    method = tiny("voco", base=(16, 16, 16), region=(16, 32, 32))
    volumes = torch.rand(2, 1, 16, 32, 32, generator=rng())
    start = torch.tensor([[[0, 3, 7], [0, 16, 16]], [[0, 0, 0], [0, 5, 1]]])
    targets, bases = method._cut(volumes, start), method._bases(volumes)
    assert torch.equal(targets[0], volumes[0, :, :, 3:19, 7:23])
    assert torch.equal(targets[3], volumes[1, :, :, 5:21, 1:17])
    assert torch.equal(bases[1], volumes[0, :, :, :16, 16:])
    assert torch.equal(bases[6], volumes[1, :, :, 16:, :16])
    assert torch.equal(targets[1], bases[3])


def test_places_stay_inside_the_region():
    method = tiny("voco")
    start = method._places(200, rng())
    assert start.amin(dim=(0, 1)).tolist() == [0, 0, 0]
    assert start.amax(dim=(0, 1)).tolist() == [0, 20, 20]


def test_a_grid_that_does_not_fill_the_region_is_refused():
    settings = kind("voco").Settings
    with pytest.raises(ValueError, match=r"grid x base = \(20, 40, 40\)"):
        resolve(settings, "tiny", {"region": (40, 40, 40)})
    with pytest.raises(ValueError, match="one base crop tells nothing"):
        resolve(settings, "tiny", {"grid": (1, 1, 1), "region": (20, 20, 20)})


def residual(block, x):
    """conv, norm, LeakyReLU, conv, norm, plus the shortcut, LeakyReLU."""

    def norm(y, layer):
        mean = y.mean(dim=(2, 3, 4), keepdim=True)
        var = ((y - mean) ** 2).mean(dim=(2, 3, 4), keepdim=True)
        shape = (1, -1, 1, 1, 1)
        y = (y - mean) / (var + 1e-5).sqrt()
        return y * layer.weight.view(shape) + layer.bias.view(shape)

    def leaky(y):
        return torch.where(y > 0, y, 0.01 * y)

    straight = x
    if block.conv1.in_channels != block.conv1.out_channels:
        conv, its_norm = block.shortcut
        straight = norm(functional.conv3d(x, conv.weight), its_norm)
    y = leaky(norm(functional.conv3d(x, block.conv1.weight, padding=1), block.norm1))
    y = norm(functional.conv3d(y, block.conv2.weight, padding=1), block.norm2)
    return leaky(y + straight)


@torch.no_grad()
def test_codes_are_of_the_levels_that_a_segmentation_network_reads():
    """METHODS 1.24: the image, each skip but the deepest, the bottleneck; then 3 layers."""
    coder = stirred(tiny("voco")).student
    x = torch.rand(3, 1, 32, 32, 32, generator=rng())
    maps = coder.encoder(x).maps
    blocks = list(coder.averages.blocks)
    assert (len(maps), len(blocks)) == (4, 4)
    levels = [x, maps[0], maps[1], maps[3]]  # not maps[2], the deepest skip
    each = [
        residual(*pair).mean(dim=(2, 3, 4)) for pair in zip(blocks, levels, strict=True)
    ]
    code = torch.cat(each, dim=1)
    assert code.shape[1] == 6 + 12 + 24 + 96  # half of 12 channels at full resolution
    parts = coder.head.layers
    for layer in (1, 2):
        code = getattr(parts, f"linear{layer}")(code)
        norm = getattr(parts, f"norm{layer}")
        assert norm.weight is None  # no affine
        code = code - norm.running_mean
        code = (code / (norm.running_var + 1e-5).sqrt()).clamp(min=0)
    code = parts.linear3(code)
    assert coder(x).flatten().tolist() == pytest.approx(
        code.flatten().tolist(), rel=1e-3, abs=1e-5
    )


@pytest.mark.parametrize(
    ("encoder", "width"),
    [
        ({}, 48 + 48 + 96 + 192 + 768),  # 1152, METHODS 1.24
        ({"kind": "vit"}, 4 * 768),
        ({"kind": "resnet"}, 64 + 256 + 512 + 1024 + 2048),
    ],
)
def test_the_published_codes_are_of_1152_numbers_and_2048_wide(encoder, width):
    student = built("voco", encoder=encoder).student
    layers = student.head.layers
    assert layers.linear1.in_features == student.averages.width == width
    assert [layers.linear1.out_features, layers.linear3.out_features] == [2048, 2048]


def test_the_teacher_norms_with_what_it_sees():
    """The released code keeps no running statistics (METHODS 1.24: no affine either)."""
    method = tiny("voco")
    teacher = method.teacher.module
    x = torch.rand(4, 1, 16, 16, 16, generator=rng())
    seen = []
    teacher.head.layers.norm1.register_forward_hook(
        lambda _m, _i, out: seen.append(out)
    )
    method.teacher(x)
    assert seen[0].mean(dim=0).abs().max() < 1e-5
    assert seen[0].std(dim=0, correction=0).mean() == pytest.approx(1, abs=0.1)
