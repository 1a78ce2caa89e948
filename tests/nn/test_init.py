"""Initial weights: their distribution, and nothing left to chance or forgotten."""

import math

import pytest
import torch
from torch import nn

from harness.nn.init import initialise


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_kinds_of_parameters_get_their_distribution():
    net = nn.ModuleDict(
        {
            "linear": nn.Linear(300, 200),
            "conv": nn.Conv3d(16, 40, 3),
            "norm": nn.LayerNorm(5),
        }
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(9.0)
    initialise(net, rng())
    assert net["linear"].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net["linear"].weight.mean().item() == pytest.approx(0, abs=1e-3)
    kaiming = math.sqrt(2 / (1 + 0.01**2) / (16 * 27))
    assert net["conv"].weight.std().item() == pytest.approx(kaiming, rel=0.05)
    assert net["norm"].weight.tolist() == [1] * 5
    for name in ("linear", "conv", "norm"):
        assert net[name].bias.abs().max() == 0


def test_only_the_generator_decides():
    one, two, other = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
    initialise(one, rng(1))
    before = torch.get_rng_state()
    torch.rand(5)
    initialise(two, rng(1))
    initialise(other, rng(2))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)
    torch.set_rng_state(before)
    initialise(two, rng(1))
    assert torch.equal(before, torch.get_rng_state())


class Stranger(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize("net", [Stranger(), nn.Conv1d(1, 1, 1)])
def test_an_unknown_parameter_is_refused_by_name(net):
    with pytest.raises(ValueError, match=r"inner\.(gate|weight) of"):
        initialise(nn.ModuleDict({"inner": net}), rng())
