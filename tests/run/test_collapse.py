"""What the monitor sees of a method, and when it warns."""

import torch

from harness.api import Batch, resolve
from harness.run.collapse import Monitor
from tests.methods.conftest import kind, rng, tiny

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


def test_balance_none_is_a_setting_so_that_collapse_can_be_shown():
    assert resolve(kind("dino").Settings, "tiny", {"balance": "none"}).balance == "none"
