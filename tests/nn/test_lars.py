"""LARS against its equation in plain loops, and against SGD where they must agree."""

import math

import pytest
import torch
from torch import nn

from harness.nn.lars import LARS


def by_loops(w, grads, *, lr, momentum, decay, trust, nesterov, adapts):
    """Return w after the steps, each number by itself, from the docstring's equation."""
    w, v = list(w), [0.0] * len(w)
    for g, rate in zip(grads, lr, strict=True):
        d = [g_i + decay * w_i for g_i, w_i in zip(g, w, strict=True)]
        if adapts:
            size_w = math.sqrt(sum(x * x for x in w))
            size_d = math.sqrt(sum(x * x for x in d))
            if size_w > 0 and size_d > 0:
                d = [trust * size_w / size_d * x for x in d]
        v = [momentum * a + b for a, b in zip(v, d, strict=True)]
        for i in range(len(w)):
            move = d[i] + momentum * v[i] if nesterov else v[i]
            w[i] -= rate * move
    return w


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("adapts", [False, True])
@pytest.mark.parametrize("start", [[3.0, 4.0, -1.0], [0.0, 0.0, 0.0]])
def test_steps_follow_the_equation(nesterov, adapts, start):
    grads = [[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-4.0, 0.5, 3.0], [1e3, 0.0, 1.0]]
    rates = [0.5, 2.0, 1.0, 0.1]
    w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimiser = LARS(
        [{"params": [w], "weight_decay": 0.01, "adapts": adapts}],
        1.0, momentum=0.8, trust=0.02, nesterov=nesterov,
    )  # fmt: skip
    for g, rate in zip(grads, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        w.grad = torch.tensor(g, dtype=torch.float64)
        optimiser.step()
    want = by_loops(
        start, grads, lr=rates, momentum=0.8, decay=0.01, trust=0.02,
        nesterov=nesterov, adapts=adapts,
    )  # fmt: skip
    assert w.tolist() == pytest.approx(want, rel=1e-12)


def test_a_step_worked_out_by_hand():
    # ‖w‖ = 5, ‖g‖ = 10: the ratio is 0.1 * 5 / 10 = 0.05, the step 2 * 0.05 * (6, 8).
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    w.grad = torch.tensor([6.0, 8.0])
    LARS([w], 2.0, trust=0.1).step()
    assert torch.allclose(w, torch.tensor([3 - 0.6, 4 - 0.8]))


def test_scale_of_the_gradient_does_not_matter_and_its_direction_does():
    moved = []
    for scale in (1.0, 1e4):
        w = nn.Parameter(torch.tensor([1.0, 2.0]))
        w.grad = scale * torch.tensor([1.0, -1.0])
        LARS([w], 1.0).step()
        moved.append(w.detach().clone())
    assert torch.allclose(*moved)
    assert moved[0][0] < 1
    assert moved[0][1] > 2


@pytest.mark.parametrize("nesterov", [False, True])
def test_without_the_ratio_it_is_sgd(nesterov):
    one, two = (nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    lars = LARS(
        [{"params": [one], "weight_decay": 0.1, "adapts": False}], 0.3,
        nesterov=nesterov,
    )  # fmt: skip
    sgd = torch.optim.SGD([two], 0.3, momentum=0.9, weight_decay=0.1, nesterov=nesterov)
    draws = torch.Generator().manual_seed(0)
    for _ in range(5):
        one.grad = torch.randn(3, generator=draws)
        two.grad = one.grad.clone()
        lars.step()
        sgd.step()
    assert torch.allclose(one, two)


def test_parameters_without_a_gradient_stay():
    w = nn.Parameter(torch.ones(2))
    assert LARS([w], 1.0).step(lambda: 4.0) == 4.0
    assert w.tolist() == [1, 1]
