"""What the monitor sees of a method, and when it warns."""

import torch

from harness.api import Batch
from harness.nn.distil import PrototypeTargets
from harness.run.collapse import Monitor
from harness.run.optimise import make_optimiser
from tests.methods.conftest import rng, tiny

VOLUMES = torch.nn.functional.interpolate(
    torch.rand(2, 1, 5, 5, 5, generator=rng(2)), size=(40, 40, 40)
)


def seen(method, steps=10):
    monitor = Monitor(method, steps)
    method.loss(Batch(VOLUMES, ("a", "b")), rng())
    return monitor


def test_a_method_with_targets_is_watched_in_encoder_and_targets():
    monitor = seen(tiny("dino"))
    values = monitor.take()
    assert values.keys() == {
        "spread", "effective_rank", "targets.entropy", "targets.used",
        "targets.information",
    }  # fmt: skip
    assert not monitor.warnings()
    assert not monitor.take()  # nothing since


def test_one_vector_for_all_images_is_a_collapse():
    method = tiny("dino", encoder="swin")
    with torch.no_grad():  # tokens that know nothing of the image
        method.student.encoder.stem.weight.zero_()
        method.teacher.encoder.stem.weight.zero_()
    monitor = seen(method)
    monitor.take()
    said = monitor.warnings()
    assert any("one vector" in text for text in said)
    assert any("targets are equal for all inputs" in text for text in said)


def test_targets_of_no_rows_leave_the_last_quantities():
    targets = PrototypeTargets(4)
    monitor = Monitor(targets, 10)
    targets(torch.eye(4) * 9, 0.1)
    before = monitor.take()
    targets(torch.zeros(0, 4), 0.1)
    assert monitor.take() == before
    assert before[".information"] > 1


def test_only_the_last_tenth_counts():
    monitor = Monitor(torch.nn.Identity(), 20)
    for value in (0.0, 0.0, 0.5, 0.7):
        monitor._now = {"spread": value}
        monitor.take()
    assert not monitor.warnings()
    for _ in range(2):
        monitor._now = {"spread": 0.0}
        monitor.take()
    assert len(monitor.warnings()) == 1


def test_dino_without_centring_collapses_and_is_said_to():
    """The control of METHODS 0: nothing keeps all targets from one prototype."""
    sides = {"crop": (16,) * 3, "region": (20,) * 3, "local_crop": (8,) * 3}
    method = tiny("dino", encoder="vit", balance="none", local_crops=0, **sides)
    optimiser = make_optimiser(method, 1e-3, weight_decay=0.04)
    monitor, draws = Monitor(method, 24), rng(5)
    for step in range(24):
        method.step = step
        volumes = torch.nn.functional.interpolate(
            torch.rand(4, 1, 3, 3, 3, generator=draws), size=(20, 20, 20)
        )
        method.loss(Batch(volumes, ("a",) * 4), draws).total.backward()
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(step, 24)
        monitor.take()
    assert any("equal for all inputs" in text for text in monitor.warnings())
