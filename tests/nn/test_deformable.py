"""Deformable attention against plain loops, and the order of its axes."""

from itertools import product

import pytest
import torch

from harness.nn.deformable import HEADS, DeformableAttention, centres, sample


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def looped(value, grids, places, weights):
    """The same sum, one corner of one place at a time."""
    b, _, heads, d = value.shape
    q, points, dims = places.shape[1], places.shape[4], places.shape[5]
    out = torch.zeros(b, q, heads, d)
    start = 0
    for level, grid in enumerate(grids):
        size = torch.Size(grid).numel()
        level_value = value[:, start : start + size].reshape(b, *grid, heads, d)
        start += size
        every = product(range(b), range(q), range(heads), range(points))
        for i, j, h, p in every:
            at = [
                float(places[i, j, h, level, p, a]) * grid[a] - 0.5 for a in range(dims)
            ]
            for corner in product((0, 1), repeat=dims):
                where = [
                    int(torch.tensor(at[a]).floor()) + corner[a] for a in range(dims)
                ]
                if any(not 0 <= w < n for w, n in zip(where, grid, strict=True)):
                    continue
                share = 1.0
                for a in range(dims):
                    share *= max(0.0, 1 - abs(at[a] - where[a]))
                found = level_value[(i, *where, h)]
                out[i, j, h] += weights[i, j, h, level, p] * share * found
    return out.flatten(2)


@pytest.mark.parametrize("grids", [[(3, 4), (2, 2)], [(2, 3, 4), (1, 2, 2)]])
def test_sampling_is_that_of_a_plain_loop(grids):
    dims, size = len(grids[0]), sum(torch.Size(g).numel() for g in grids)
    value = torch.randn(2, size, HEADS, 3, generator=rng())
    places = torch.rand(2, 3, HEADS, 2, 2, dims, generator=rng(1)) * 1.4 - 0.2
    weights = torch.rand(2, 3, HEADS, 2, 2, generator=rng(2))
    want = looped(value, grids, places, weights)
    assert torch.allclose(sample(value, grids, places, weights), want, atol=1e-5)


def plain(grid, *, as_released=False):
    """An attention that hands on the value at the query's own place, and its input."""
    width = 2 * HEADS
    attention = DeformableAttention(
        width, 1, dims=len(grid), points=1, ratio=1.0, as_released=as_released
    )
    attention.reset(rng())
    with torch.no_grad():
        attention.offsets.bias.zero_()
        for layer in (attention.values, attention.out):
            layer.weight.copy_(torch.eye(width))
    x = torch.randn(2, torch.Size(grid).numel(), width, generator=rng(1))
    return attention, x


@pytest.mark.parametrize("grid", [(4, 4, 4), (2, 3, 5), (3, 5)])
def test_without_offsets_it_is_the_identity(grid):
    attention, x = plain(grid)
    y = attention(x, centres(grid, x.device), x, [grid])
    assert torch.allclose(y, x, atol=1e-5)


def test_the_released_order_permutes_the_axes():
    grid = (4, 4, 4)
    attention, x = plain(grid, as_released=True)
    y = attention(x, centres(grid, x.device), x, [grid])
    volume = x.view(2, *grid, -1)
    # out[h, w, d] = value[d, h, w]: METHODS 2.3, a cyclic permutation.
    want = volume.permute(0, 2, 3, 1, 4).reshape(x.shape)
    assert torch.allclose(y, want, atol=1e-5)
    assert not torch.allclose(y, x, atol=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_offset_of_one_is_one_voxel_along_its_axis(axis):
    grid = (3, 4, 5)
    attention, x = plain(grid)
    with torch.no_grad():
        bias = attention.offsets.bias.view(HEADS, 3)
        bias[:, axis] = 1.0
    y = attention(x, centres(grid, x.device), x, [grid]).view(2, *grid, -1)
    volume = x.view(2, *grid, -1)
    last = grid[axis] - 1
    moved = volume.narrow(1 + axis, 1, last)
    assert torch.allclose(y.narrow(1 + axis, 0, last), moved, atol=1e-5)
    assert torch.allclose(y.select(1 + axis, last), torch.zeros(()), atol=1e-5)


@pytest.mark.parametrize("level", [0, 1])
def test_an_offset_counts_in_voxels_of_the_level_it_is_for(level):
    grids, width = [(4, 4, 6), (2, 2, 3)], 2 * HEADS
    attention = DeformableAttention(width, 2, points=1, ratio=1.0)
    attention.reset(rng())
    with torch.no_grad():
        attention.offsets.bias.view(HEADS, 2, 3)[:] = torch.tensor([0.0, 0.0, 1.0])
        attention.weights.bias.view(HEADS, 2)[:, level] = 50.0  # no other level counts
        for layer in (attention.values, attention.out):
            layer.weight.copy_(torch.eye(width))
    x = torch.randn(1, 96 + 12, width, generator=rng(1))
    own = x.split([96, 12], dim=1)[level].view(1, *grids[level], width)
    y = attention(
        x[:, : own[0, ..., 0].numel()], centres(grids[level], x.device), x, grids
    )
    y = y.view(own.shape)
    assert torch.allclose(y[:, :, :, :-1], own[:, :, :, 1:], atol=1e-5)


def test_heads_start_in_their_octants():
    attention = DeformableAttention(64, 3)
    attention.reset(rng())
    bias = attention.offsets.bias.view(HEADS, 3, 4, 3)
    assert sorted(map(tuple, bias[:, 0, 0].tolist())) == sorted(
        product((-1.0, 1.0), repeat=3)
    )
    for k in range(4):
        assert torch.equal(bias[:, :, k], (k + 1) * bias[:, :1, 0].expand(-1, 3, -1))
    still = [attention.offsets.weight, attention.weights.weight, attention.weights.bias]
    assert all(not part.any() for part in still)
    flat = DeformableAttention(64, 1, dims=2)
    flat.reset(rng())
    aims = flat.offsets.bias.view(HEADS, 4, 2)[:, 0]
    assert len(set(map(tuple, aims.tolist()))) == HEADS
    assert aims.abs().amax(dim=1).eq(1).all()


def test_gradients_reach_every_parameter():
    attention = DeformableAttention(64, 2, dims=3)
    attention.reset(rng())
    grids = [(4, 4, 4), (2, 2, 2)]
    queries = torch.randn(1, 8, 64, generator=rng(1))
    values = torch.randn(1, 72, 64, generator=rng(2))
    attention(
        queries, centres((2, 2, 2), queries.device), values, grids
    ).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in attention.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 40}, "8 heads must divide the width of the values, 10"),
        ({"width": 64, "dims": 2, "as_released": True}, "images have none"),
    ],
)
def test_what_cannot_be_built_is_said(settings, message):
    with pytest.raises(ValueError, match=message):
        DeformableAttention(settings.pop("width"), 1, **settings)
