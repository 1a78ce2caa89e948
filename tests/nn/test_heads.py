"""Heads: cosines to prototypes, voxels painted in their own place."""

import torch
from torch.nn import functional

from harness.nn.heads import LinearHead, PrototypeHead, VoxelHead


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_prototype_logits_are_cosines_after_the_mlp():
    head = PrototypeHead(6, 11, 8, 4, rng())
    with torch.no_grad():
        head.directions.mul_(100)  # the length of a prototype must not matter
    x = torch.randn(2, 3, 5, 6, generator=rng(1))
    logits = head(x)
    assert logits.shape == (2, 3, 5, 11)
    first, _, second, _, third = head.mlp
    z = third(functional.gelu(second(functional.gelu(first(x)))))
    want = functional.cosine_similarity(z[1, 2, 3][None], head.directions)
    torch.testing.assert_close(logits[1, 2, 3], want)
    assert logits.abs().max() <= 1 + 1e-6
    assert [layer.out_features for layer in (first, second, third)] == [8, 8, 4]


def test_prototype_head_learns_through_both_normalisations():
    head = PrototypeHead(6, 11, 8, 4, rng())
    head(torch.randn(7, 6, generator=rng(1))).square().sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_linear_head():
    head = LinearHead(3, 2, rng())
    x = torch.rand(4, 3)
    torch.testing.assert_close(head(x), x @ head.linear.weight.T + head.linear.bias)


def test_voxel_head_paints_each_token_into_its_own_cube():
    head = VoxelHead(3, 2, 4, rng())
    x = torch.rand(2, 3, 2, 1, 3, generator=rng(1))
    voxels = head(x)
    assert voxels.shape == (2, 2, 8, 4, 12)
    token = functional.linear(x[1, :, 1, 0, 2], head.paint.weight, head.paint.bias)
    want = token.view(2, 4, 4, 4)
    torch.testing.assert_close(voxels[1, :, 4:8, 0:4, 8:12], want)
    x[0, :, 0, 0, 1] += 1
    changed = head(x) != voxels
    assert changed[0, :, 0:4, 0:4, 4:8].all()
    assert changed.sum() == 2 * 4**3
