"""What the monitor sees of a method, and when it warns."""

import pytest
import torch

from harness.api import Batch
from harness.nn.distil import PrototypeTargets
from harness.nn.spread import prototype_use
from harness.run.collapse import LAST, Monitor, warnings
from harness.run.curves import Curves
from harness.run.optimise import make_optimiser
from tests.methods.conftest import rng, tiny

VOLUMES = torch.nn.functional.interpolate(
    torch.rand(2, 1, 5, 5, 5, generator=rng(2)), size=(40, 40, 40)
)


def seen(method):
    monitor = Monitor(method)
    method.loss(Batch(VOLUMES, ("a", "b")), rng())
    return monitor


def targets(entropy, information, **more):
    return {"t.entropy": entropy, "t.information": information, **more}


def test_a_method_with_targets_is_watched_in_encoder_and_targets():
    monitor = seen(tiny("dino"))
    values = monitor.take()
    assert values.keys() == {
        "spread", "effective_rank", "targets.entropy", "targets.used",
        "targets.information",
    }  # fmt: skip
    assert not warnings(values)
    assert not monitor.take()  # nothing since


@pytest.mark.parametrize("name", ["mae", "moco_v3", "cpc"])
def test_every_encoder_s_image_vectors_are_watched(name):
    assert 0 < seen(tiny(name)).take()["spread"] <= 1


def test_vectors_of_mae_are_watched_though_its_encoder_sees_some_patches_only():
    method = tiny("mae")
    with torch.no_grad():  # tokens and class token that know nothing of the image
        method.student.stem.weight.zero_()
        method.student.positions.zero_()
    values = seen(method).take()
    assert any("one vector" in text for text in warnings(values))


def test_one_vector_for_all_images_is_a_collapse():
    method = tiny("dino", encoder="swin")
    with torch.no_grad():  # tokens that know nothing of the image
        method.student.encoder.stem.weight.zero_()
        method.teacher.encoder.stem.weight.zero_()
    said = warnings(seen(method).take())
    assert any("one vector" in text for text in said)
    assert any("targets are equal for all inputs" in text for text in said)


@pytest.mark.parametrize(
    ("entropy", "information", "collapsed"),
    [
        # Ends of real runs at tier small (docs/log.md): DINO without centring, DINO and
        # its kin that a probe found no better than random weights but which still tell
        # images apart, and DINO at a rate that drove it to uniform targets.
        (0.0584, 0.00118, True),
        (0.0030, 0.0, True),
        (0.9980, 0.01004, False),
        (0.9983, 0.00789, False),
        (0.9991, 0.00293, False),
        (0.9999, 0.00033, True),
        # A sharp choice of its own for one row in a hundred is no collapse.
        (0.02, 0.056, False),
        (0.5, 0.0005, False),
        (0.5, 0.000001, True),
    ],
)
def test_targets_that_say_too_little_for_their_entropy_are_a_collapse(
    entropy, information, collapsed
):
    said = warnings(targets(entropy, information, spread=0.5))
    assert [text.split(" (")[0] for text in said] == (
        ["collapsed: t are equal for all inputs"] if collapsed else []
    )


def test_one_sharp_row_of_a_hundred_with_its_own_prototype_carries_what_is_said():
    p = torch.full((100, 8), 1e-9)
    p[:, 0] = 1
    p[7, 0], p[7, 3] = 1e-9, 1
    assert abs(prototype_use(p)["information"] - 0.056) < 1e-3


def test_targets_of_no_rows_leave_the_last_quantities():
    part = PrototypeTargets(4)
    monitor = Monitor(part)
    part(torch.eye(4) * 9, 0.1)
    before = monitor.take()
    part(torch.zeros(0, 4), 0.1)
    assert monitor.take() == before
    assert before[".information"] > 1


def test_only_the_last_tenth_of_the_written_steps_counts():
    curves = Curves("key", 20, per_epoch=1)
    for step, value in enumerate([0.0] * 17 + [0.6, 0.5, 0.7]):
        curves.train(step, {"spread": value})
    curves.val(20, {"spread": 9.0})
    assert curves.last(LAST) == {"spread": 0.6}
    again = Curves("key", 20, per_epoch=1)  # as after an interruption
    again.restore(curves.state())
    assert again.last(LAST) == {"spread": 0.6}
    one = Curves("key", 1, per_epoch=1)
    one.train(0, {"spread": 0.2})
    assert one.last(LAST) == {"spread": 0.2}


def test_dino_without_centring_collapses_and_is_said_to():
    """The control of METHODS 0: nothing keeps all targets from one prototype."""
    sides = {"crop": (16,) * 3, "region": (20,) * 3, "local_crop": (8,) * 3}
    method = tiny("dino", encoder="vit", balance="none", local_crops=0, **sides)
    optimiser = make_optimiser(method, 1e-3, weight_decay=0.04)
    monitor, curves, draws = Monitor(method), Curves("key", 24, per_epoch=1), rng(5)
    for step in range(24):
        method.step = step
        volumes = torch.nn.functional.interpolate(
            torch.rand(4, 1, 3, 3, 3, generator=draws), size=(20, 20, 20)
        )
        method.loss(Batch(volumes, ("a",) * 4), draws).total.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(step, 24)
        curves.train(step, monitor.take())
    said = warnings(curves.last(LAST))
    assert any("equal for all inputs" in text for text in said)
