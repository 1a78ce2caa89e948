import pytest
import torch
from torch.nn import functional

from harness.nn.schedule import cosine_with_warmup
from harness.run.adapt.linear_probe import train_heads
from harness.run.optimise import Diverged
from harness.schema.protocols import LinearProbe


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.randn(20, 6, generator=rng(0), dtype=torch.float64)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()


def train(**settings):
    protocol = LinearProbe(steps=30, batch=5, **settings)
    return train_heads(X, Y, 3, protocol, init=rng(1), order=rng(2))


def test_heads_trained_jointly_end_as_if_trained_alone():
    rates = (1e-3, 0.1, 0.5)
    weights, biases = train(lr=rates, weight_decay=0.01)
    for index, rate in enumerate(rates):
        weight, bias = train(lr=(rate,), weight_decay=0.01)
        assert torch.allclose(weight[0], weights[index], atol=1e-12)
        assert torch.allclose(bias[0], biases[index], atol=1e-12)


def test_a_head_is_what_sgd_of_torch_makes_of_it():
    weights, biases = train(lr=(0.1,), weight_decay=0.01)
    layer = torch.nn.Linear(6, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, 6, generator=rng(1)) * 0.01)
        layer.bias.zero_()
    optimiser = torch.optim.SGD(
        layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01
    )
    order = rng(2)
    for step in range(30):
        rows = torch.randint(20, (5,), generator=order)
        optimiser.param_groups[0]["lr"] = 0.1 * cosine_with_warmup(step, 30, 0)
        optimiser.zero_grad()
        functional.cross_entropy(layer(X[rows]), Y[rows]).backward()
        optimiser.step()
    assert torch.allclose(weights[0], layer.weight, atol=1e-10)
    assert torch.allclose(biases[0], layer.bias, atol=1e-10)


def test_it_learns():
    weights, biases = train(lr=(0.5,))
    right = (X @ weights[0].T + biases[0]).argmax(dim=1) == Y
    assert right.float().mean() > 0.8


def test_no_rate_that_stays_finite_is_told():
    with pytest.raises(Diverged, match="add smaller ones to 'lr'"):
        train(lr=(1e300,), weight_decay=1e10)
