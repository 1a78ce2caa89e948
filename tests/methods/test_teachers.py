"""Every method with a moving average: where it starts, what it follows, and when."""

import pytest
import torch

from harness.nn.distil import PrototypeTargets
from harness.nn.ema import Teacher, momentum_at

from .conftest import NAMES, kind, rng, tiny

FIXED = {"voco": 0.9}  # METHODS 1.24; all others rise to 1


def parts(name, what):
    return [part for part in tiny(name).modules() if isinstance(part, what)]


PRETRAINED = [name for name in NAMES if kind(name).role == "pretrained"]
AVERAGED = [name for name in PRETRAINED if parts(name, Teacher)]
CENTRED = [name for name in PRETRAINED if parts(name, PrototypeTargets)]


def test_they_are_found():
    assert {"byol", "dagman", "dino", "ibot", "moco_v3", "smit", "voco"} <= {*AVERAGED}
    assert {"dagman", "dino", "dino3d", "ibot", "mst", "smit"} <= {*CENTRED}


@pytest.mark.parametrize("name", AVERAGED)
def test_the_teacher_starts_as_a_copy_and_follows_the_global_step(name):
    method = tiny(name)
    teacher = method.teacher.module
    (student,) = [part for part in method.children() if type(part) is type(teacher)]
    theirs, ours = teacher.state_dict(), student.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[each], ours[each]) for each in ours)
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    method.after_step(37, 100)
    momentum = FIXED.get(name) or momentum_at(37, 100, method.settings.momentum)
    for old, new in zip(before, teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + (1 - momentum), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CENTRED)
def test_centres_move_after_the_step_and_not_in_the_loss(name, batch):
    method = tiny(name, balance="centre")
    targets = [part for part in method.modules() if isinstance(part, PrototypeTargets)]
    method.loss(batch, rng())
    assert not any(each.center.any() for each in targets)
    method.after_step(0, 100)
    assert all(each.center.any() for each in targets)


@pytest.mark.parametrize("name", AVERAGED)
def test_dinos_kin_export_the_teacher_the_others_the_student(name):
    """METHODS 0: the released code of DINO, iBOT, 3DINO and AttMask, and of SMIT."""
    method = tiny(name)
    averaged = any(part is method.encoder() for part in method.teacher.modules())
    assert averaged == (name in {"dino", "dino3d", "ibot", "mst"})
