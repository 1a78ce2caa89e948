"""Projection heads: their layers, and that no bias stands before a batch norm."""

import pytest
import torch

from harness.nn.projection import ProjectionHead


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("layers", "last_norm", "count"), [
    (2, False, 6 * 10 + 2 * 10 + 10 * 4 + 4),
    (3, True, 6 * 10 + 2 * 10 + 10 * 10 + 2 * 10 + 10 * 4),
])  # fmt: skip
def test_layers_and_parameters(layers, last_norm, count):
    head = ProjectionHead(6, 10, 4, rng(), layers=layers, last_norm=last_norm)
    assert sum(p.numel() for p in head.parameters()) == count
    codes = head(torch.randn(8, 6, generator=rng(1)))
    assert codes.shape == (8, 4)
    if last_norm:
        assert codes.mean(dim=0).abs().max() < 1e-5
        # (less than 1 by the epsilon beside the small variance of fresh weights)
        assert (codes.var(dim=0, unbiased=False) - 1).abs().max() < 0.1


def test_weights_come_from_the_generator():
    one, two = ProjectionHead(6, 10, 4, rng(1)), ProjectionHead(6, 10, 4, rng(1))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
