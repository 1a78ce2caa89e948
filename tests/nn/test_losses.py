"""Losses against plain loops and hand-computed cases."""

import math

import numpy as np
import pytest
import torch

from harness.nn.distil import PrototypeTargets
from harness.nn.losses import masked_l1, soft_ce


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distilled(student, teacher, center, t_s, t_t, weight=None):
    p_t = ((teacher.detach() - center) / t_t).softmax(dim=-1)
    return soft_ce(student, p_t, t_s, weight)


@pytest.fixture
def volumes():
    g = rng()
    x_hat, x = (torch.rand(2, 3, 4, 3, 2, generator=g) for _ in range(2))
    hidden = torch.rand(2, 1, 4, 3, 2, generator=g) < 0.4
    return x_hat, x, hidden


def test_masked_l1_equals_a_plain_loop(volumes):
    x_hat, x, hidden = volumes
    errors = [
        abs(x_hat[b, c, i, j, k] - x[b, c, i, j, k]).item()
        for b, _, i, j, k in hidden.nonzero().tolist()
        for c in range(3)
    ]
    assert masked_l1(x_hat, x, hidden).item() == pytest.approx(np.mean(errors))
    assert masked_l1(x_hat, x, hidden.float()).item() == pytest.approx(np.mean(errors))


def test_masked_l1_ignores_visible_voxels(volumes):
    x_hat, x, hidden = volumes
    changed = x + 5 * ~hidden
    assert torch.equal(masked_l1(x_hat, x, hidden), masked_l1(x_hat, changed, hidden))
    assert not torch.equal(masked_l1(x_hat, x, hidden), masked_l1(x_hat, x + 5, hidden))


def test_masked_l1_with_nothing_hidden_is_zero_and_can_be_minimised(volumes):
    x_hat, x, hidden = volumes
    x_hat.requires_grad_()
    loss = masked_l1(x_hat, x, torch.zeros_like(hidden))
    loss.backward()
    assert loss.item() == 0
    assert x_hat.grad.abs().max() == 0


def test_distillation_equals_a_plain_loop():
    g = rng()
    student, teacher = (torch.randn(2, 3, 5, generator=g) for _ in range(2))
    center, weight = torch.randn(5, generator=g), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    total, weighted = [], 0.0
    for b in range(2):
        for i in range(3):
            s = [z / 0.1 for z in student[b, i].tolist()]
            t = [(z - c) / 0.5 for z, c in zip(teacher[b, i], center, strict=True)]
            log_s = [z - math.log(sum(math.exp(y) for y in s)) for z in s]
            p_t = [math.exp(z) / sum(math.exp(y) for y in t) for z in t]
            entropy = -sum(p * q for p, q in zip(p_t, log_s, strict=True))
            total.append(entropy)
            weighted += weight[b, i].item() * entropy / 3
    found = distilled(student, teacher, center, 0.1, 0.5)
    assert found.item() == pytest.approx(np.mean(total), rel=1e-5)
    found = distilled(student, teacher, center, 0.1, 0.5, weight)
    assert found.item() == pytest.approx(weighted, rel=1e-5)
    none = distilled(student, teacher, center, 0.1, 0.5, torch.zeros(2, 3).bool())
    assert none.item() == 0


def test_distillation_of_equal_logits_is_the_teachers_entropy():
    logits = torch.randn(4, 7, generator=rng())
    p = torch.softmax(logits / 0.3, dim=-1)
    entropy = -(p * p.log()).sum(dim=-1).mean()
    found = distilled(logits, logits, torch.zeros(7), 0.3, 0.3)
    assert found.item() == pytest.approx(entropy.item(), rel=1e-5)


def test_only_the_student_learns():
    student, teacher = (
        torch.randn(2, 4, generator=rng(i), requires_grad=True) for i in range(2)
    )
    soft_ce(student, PrototypeTargets(4)(teacher, 0.04), 0.1).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_centring_moves_the_teacher_towards_uniform():
    logits = torch.tensor([[5.0, 0.0, 0.0]]).expand(8, 3)
    targets = PrototypeTargets(3, momentum=0.0)
    targets(logits, 0.04)
    targets.update()
    uniform = distilled(torch.zeros(8, 3), logits, targets.center, 0.1, 0.04)
    assert uniform.item() == pytest.approx(math.log(3), rel=1e-5)
