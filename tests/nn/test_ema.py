"""The teacher: exact copy, no gradient, cosine momentum by global step."""

import pytest
import torch
from torch import nn

from harness.nn.ema import Teacher, ema_update, momentum_at
from harness.nn.swin import Swin, SwinSettings


def student(seed=0):
    torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.9))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(float(seed))
    return net


def test_momentum_follows_half_a_cosine_of_the_global_step():
    assert momentum_at(0, 100, 0.996) == pytest.approx(0.996)
    assert momentum_at(50, 100, 0.996) == pytest.approx(0.998)
    assert momentum_at(100, 100, 0.996) == pytest.approx(1)
    assert momentum_at(120, 100, 0.996) == pytest.approx(1)
    values = [momentum_at(step, 100, 0.9) for step in range(101)]
    assert values == sorted(values)


@pytest.mark.parametrize(("momentum", "weight"), [(0, 3.0), (1, 1.0), (0.75, 1.5)])
def test_update_moves_parameters_by_one_minus_momentum(momentum, weight):
    teacher, new = student(1), student(3)
    new[1].running_mean.fill_(7)
    ema_update(teacher, new, momentum)
    assert {p.unique().item() for p in teacher.parameters()} == {weight}
    assert teacher[1].running_mean.tolist() == [7, 7]


def test_teacher_starts_as_a_copy_and_stays_in_eval_mode_without_gradient():
    net = student(2)
    teacher = Teacher(net)
    assert all(
        torch.equal(a, b)
        for a, b in zip(teacher.parameters(), net.parameters(), strict=True)
    )
    both = nn.ModuleDict({"student": net, "teacher": teacher}).train()
    assert both["student"].training
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    x = torch.ones(4, 2, requires_grad=True)
    assert not teacher(x).requires_grad
    with torch.no_grad():
        net[0].weight.add_(1)
    assert teacher.module[0].weight.unique().tolist() == [2]  # its own memory
    teacher.update(net, 0.5)
    assert teacher.module[0].weight.unique().tolist() == [2.5]


def test_a_drop_path_student_has_a_steady_teacher():
    settings = SwinSettings(
        width=4, depths=(2,), heads=(1,), window=2, drop_path=0.9, patch=1
    )
    teacher = Teacher(Swin(settings, 1, torch.Generator())).train()
    x = torch.rand(3, 1, 4, 4, 4)
    assert torch.equal(teacher(x).pooled, teacher(x).pooled)
