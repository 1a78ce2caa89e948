"""Schedules at their corners, by hand."""

import pytest

from harness.nn.schedule import cosine_with_warmup, teacher_temperature


def test_rate_rises_linearly_and_falls_as_half_a_cosine():
    rates = [cosine_with_warmup(s, 13, 3, peak=2.0, floor=0.5) for s in range(14)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates[8] == pytest.approx(1.25)
    assert rates[13] == pytest.approx(0.5)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert cosine_with_warmup(99, 13, 3, peak=2.0, floor=0.5) == pytest.approx(0.5)


def test_no_step_of_a_short_run_is_lost():
    assert [cosine_with_warmup(s, 2, 0) for s in range(2)] == pytest.approx([1, 0.5])
    assert cosine_with_warmup(0, 1, 1) > 0


def test_teacher_temperature_waits_then_rises():
    found = [teacher_temperature(s, 4, delay=2) for s in (0, 2, 4, 6, 99)]
    assert found == pytest.approx([0.04, 0.04, 0.055, 0.07, 0.07])
    assert teacher_temperature(0, 0) == pytest.approx(0.07)
