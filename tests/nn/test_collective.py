"""The collective layer: the identity in one process, exact gradients in several."""

import pytest
import torch

from harness.nn import collective
from harness.nn.distil import PrototypeTargets
from harness.nn.losses import masked_l1, soft_ce

from ..ranks import in_ranks

RANKS = 2


def rng():
    return torch.Generator().manual_seed(5)


def mine(x):
    """Return this rank's rows of a tensor that all ranks know."""
    return x.chunk(collective.world_size())[collective.rank()]


def test_in_one_process_everything_is_the_identity():
    x = torch.rand(3, 2, generator=rng(), requires_grad=True)
    assert (collective.world_size(), collective.rank()) == (1, 0)
    for function in (
        collective.sum_over_ranks,
        collective.mean_over_ranks,
        collective.gather,
    ):
        assert function(x) is x
    assert collective.broadcast(x) is x
    collective.barrier()
    collective.stop()


def moved():
    x = torch.full((2,), float(collective.rank()))
    return [
        collective.sum_over_ranks(x).tolist(),
        collective.mean_over_ranks(x).tolist(),
        collective.gather(x).tolist(),
        collective.broadcast(x.clone(), source=1).tolist(),
        mine(torch.arange(4).roll(1)).tolist()
        == collective.moved_on(mine(torch.arange(4))).tolist(),
        x.tolist(),
    ]


def test_values_in_two_processes(tmp_path):
    first, second = in_ranks(RANKS, tmp_path, moved)
    assert first[:4] == second[:4] == [[1, 1], [0.5, 0.5], [0, 0, 1, 1], [1, 1]]
    assert first[4]
    assert second[4]
    assert (first[5], second[5]) == ([0, 0], [1, 1])  # the inputs are left alone


def contrast(x):
    """A loss that needs the whole batch in three ways; x: this rank's rows."""
    every = collective.gather(x)
    spread = collective.mean_over_ranks(x.square().mean())
    total = collective.sum_over_ranks(x.sum())
    return (x @ every.T).logsumexp(dim=1).mean() + spread.sqrt() + total.cos()


def slopes():
    x = torch.rand(4, 3, generator=rng(), dtype=torch.float64)
    w = torch.rand(3, 3, generator=rng(), dtype=torch.float64, requires_grad=True)
    loss = contrast(mine(x) @ w)
    loss.backward()
    # What DistributedDataParallel does to gradients.
    grad = collective.mean_over_ranks(w.grad)
    return collective.mean_over_ranks(loss.detach()).item(), grad.tolist()


def test_gradients_are_those_of_the_whole_batch(tmp_path):
    value, grad = slopes()  # one process: the whole batch
    for found, slope in in_ranks(RANKS, tmp_path, slopes):
        assert found == pytest.approx(value, rel=1e-12)
        assert torch.allclose(torch.tensor(slope), torch.tensor(grad), rtol=1e-10)


def losses():
    """Losses whose shares count differently, and the centre."""
    g = rng()
    x_hat, x = (torch.rand(4, 1, 2, 2, 2, generator=g) for _ in range(2))
    hidden = torch.zeros(4, 1, 2, 2, 2, dtype=torch.bool)
    hidden[:2] = True
    hidden[2, 0, 0] = True  # rank 1 hides less
    student, teacher = (torch.rand(4, 5, 6, generator=g) for _ in range(2))
    weight = hidden[:, 0, :, :, :].flatten(1)[:, :5].float()
    targets = PrototypeTargets(6)
    targets(mine(teacher), 1.0)
    targets.update()
    p_t = targets(mine(teacher), 0.05)
    values = [
        masked_l1(mine(x_hat), mine(x), mine(hidden)),
        soft_ce(mine(student), p_t, 0.1, mine(weight)),
    ]
    mean = [collective.mean_over_ranks(value).item() for value in values]
    return mean + targets.center.tolist()


def test_shared_losses_and_centres_equal_the_whole_batch(tmp_path):
    whole = losses()
    for found in in_ranks(RANKS, tmp_path, losses):
        assert found == pytest.approx(whole, rel=1e-5)
