"""Batch norm against torch's, over ranks and with the batch's statistics."""

import pytest
import torch
from torch import nn

from harness.nn.batchnorm import BatchNorm, use_batch_statistics

from ..ranks import in_ranks


def data(*shape):
    g = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=g, dtype=torch.float64) * 2 + 1


@pytest.mark.parametrize(
    ("shape", "peer"),
    [((6, 3), nn.BatchNorm1d), ((4, 3, 5, 2), nn.BatchNorm2d),
     ((4, 3, 2, 3, 2), nn.BatchNorm3d)],
)  # fmt: skip
def test_it_is_torchs_in_one_process(shape, peer):
    ours, theirs = BatchNorm(3).double(), peer(3).double()
    x = data(*shape)
    assert torch.allclose(ours(x), theirs(x))
    assert torch.allclose(ours.running_var, theirs.running_var)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x))


def test_batch_statistics_in_evaluation_leave_the_running_ones_alone():
    norm = BatchNorm(3).double()
    use_batch_statistics(nn.Sequential(norm))
    x = data(6, 3)
    y = norm.eval()(x)
    assert torch.allclose(y.mean(dim=0), torch.zeros(3).double(), atol=1e-12)
    assert torch.equal(norm.running_mean, torch.zeros(3).double())


def test_two_ranks_agree_with_one_process(tmp_path):
    x, weight = data(4, 3, 2, 2), data(4, 3, 2, 2).flip(0)

    def run(rows):
        norm = BatchNorm(3).double()
        mine = x[rows].clone().requires_grad_()
        y = norm(mine)
        (y * weight[rows]).sum().backward()
        return y.detach(), mine.grad, norm.running_mean, norm.running_var

    y, slope, mean, var = run(slice(None))

    def work():
        from harness.nn import collective

        rank = collective.rank()
        return run(slice(2 * rank, 2 * rank + 2))

    found = in_ranks(2, tmp_path, work)
    assert torch.allclose(torch.cat([each[0] for each in found]), y)
    # Each rank's loss is a part of the sum, so slopes are those of the sum.
    assert torch.allclose(torch.cat([each[1] for each in found]), slope)
    for each in found:
        assert torch.allclose(each[2], mean)
        assert torch.allclose(each[3], var)
