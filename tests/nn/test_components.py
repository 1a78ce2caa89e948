"""Principal components against numpy, in parts, and their signs."""

import numpy as np
import pytest
import torch

from harness.nn.components import components


def tokens(n=60, width=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)) * np.array([5, 3, 2, 1, 0.5]) + 7


def test_they_are_those_of_a_singular_value_decomposition():
    x = tokens()
    found = components(torch.from_numpy(x).split(17), 3)
    centred = x - x.mean(axis=0)
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    assert found.count == 60
    assert found.mean.numpy() == pytest.approx(x.mean(axis=0), abs=1e-12)
    assert found.shares.numpy() == pytest.approx(
        (values**2 / (values**2).sum())[:3], rel=1e-10
    )
    for own, other in zip(found.directions.numpy(), vectors[:3], strict=True):
        assert abs(own @ other) == pytest.approx(1, abs=1e-10)
        assert own[np.abs(own).argmax()] > 0  # the sign that is kept


def test_parts_do_not_matter():
    x = torch.from_numpy(tokens(seed=1))
    whole, parts = components([x], 4), components(x.split([1, 30, 29]), 4)
    assert parts.directions.numpy() == pytest.approx(whole.directions.numpy(), abs=1e-9)
    assert parts(x).numpy() == pytest.approx(whole(x).numpy(), abs=1e-8)


def test_turned_tokens_have_the_same_scores_up_to_sign():
    x = torch.from_numpy(tokens(seed=2))
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.double))
    y = x @ turn.Q
    one, two = components([x], 3)(x), components([y], 3)(y)
    assert two.abs().numpy() == pytest.approx(one.abs().numpy(), abs=1e-8)


def test_two_points_by_hand():
    x = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    found = components([x], 2)
    assert found.directions[0].tolist() == pytest.approx([0.6, 0.8])
    assert found.shares.tolist() == pytest.approx([1, 0], abs=1e-12)
    assert found(x)[:, 0].tolist() == pytest.approx([-5, 5])


def test_fewer_channels_than_asked_for_and_no_tokens():
    assert len(components([torch.rand(9, 2)], 4).shares) == 2
    with pytest.raises(ValueError, match="there are no tokens"):
        components([], 2)
