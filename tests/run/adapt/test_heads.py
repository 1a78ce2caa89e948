"""Linear heads that are trained together, against each one alone and against torch."""

import pytest
import torch
from torch.nn import functional

from harness.nn.schedule import cosine_with_warmup
from harness.run.adapt.heads import Descent, train_heads

STEPS, BATCH = 30, 5
RATES = (1e-3, 0.1, 0.5)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cases(n: int, width: int):
    x = torch.randn(n, width, generator=rng(0), dtype=torch.float64)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 1).long()


def train(x, y, rates, decay):
    return train_heads(
        x, y, 3, rates, Descent(STEPS, BATCH, 0.9, decay), init=rng(1), order=rng(2)
    )


def by_torch(x, y, rate, decay):
    """One layer, trained by SGD of torch."""
    layer = torch.nn.Linear(x.shape[1], 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(3, x.shape[1], generator=rng(1)) * 0.01)
        layer.bias.zero_()
    optimiser = torch.optim.SGD(
        layer.parameters(), lr=rate, momentum=0.9, weight_decay=decay
    )
    order, losses = rng(2), []
    for step in range(STEPS):
        rows = torch.randint(len(y), (BATCH,), generator=order)
        optimiser.param_groups[0]["lr"] = rate * cosine_with_warmup(step, STEPS, 0)
        optimiser.zero_grad()
        loss = functional.cross_entropy(layer(x[rows]), y[rows])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return layer, losses


# More cases than features, and fewer: the two ways to hold the weights.
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(("n", "width"), [(20, 6), (12, 40)])
def test_each_head_is_what_sgd_of_torch_makes_of_it_alone(n, width, decay):
    x, y = cases(n, width)
    heads = train(x, y, RATES, decay)
    for number, rate in enumerate(RATES):
        layer, losses = by_torch(x, y, rate, decay)
        assert torch.allclose(heads.weight[number], layer.weight, atol=1e-10)
        assert torch.allclose(heads.bias[number], layer.bias, atol=1e-10)
        assert heads.losses[:, number].tolist() == pytest.approx(losses, abs=1e-10)


@pytest.mark.parametrize(("n", "width"), [(20, 6), (12, 40)])
def test_a_head_does_not_know_of_the_others(n, width):
    x, y = cases(n, width)
    together = train(x, y, RATES, 0.01)
    for number, rate in enumerate(RATES):
        alone = train(x, y, (rate,), 0.01)
        assert torch.allclose(alone.weight[0], together.weight[number], atol=1e-12)
        assert torch.allclose(alone.logits(x)[0], together.logits(x)[number])


def test_both_ways_agree_in_single_precision():
    x, y = cases(24, 24)
    wide = torch.cat([x, torch.zeros(24, 1, dtype=x.dtype)], dim=1).float()
    found = train(wide, y, RATES, 0.0)  # fewer cases than features
    layer, _ = by_torch(wide.double(), y, RATES[2], 0.0)
    assert torch.allclose(found.weight[2].double(), layer.weight, atol=1e-4)


def test_it_learns():
    x, y = cases(20, 6)
    heads = train(x, y, (0.5,), 0.0)
    assert (heads.logits(x)[0].argmax(dim=1) == y).float().mean() > 0.8


def test_a_rate_that_explodes_is_not_finite_and_harms_no_other():
    x, y = cases(12, 40)
    heads = train(x, y, (0.1, 1e300), 0.01)
    alone = train(x, y, (0.1,), 0.01)
    assert torch.allclose(heads.weight[0], alone.weight[0])
    assert not heads.weight[1].isfinite().all()
