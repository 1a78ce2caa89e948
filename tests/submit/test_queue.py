"""SLURM is asked seldom, and less often when it is slow or down."""

import pytest

from harness.submit import squeue
from harness.submit.queue import LONGEST_S, PAUSE_S, SLOW_S, PacedQueue


class Controller:
    """A clock, and a squeue that takes `takes_s` and may be down."""

    def __init__(self):
        self.now, self.takes_s, self.down, self.asked = 0.0, 0.1, False, []

    def clock(self):
        return self.now

    def ask(self, _=()):
        self.asked.append(self.now)
        self.now += self.takes_s
        return None if self.down else [f"answer {len(self.asked)}"]


@pytest.fixture
def controller(monkeypatch):
    found = Controller()
    monkeypatch.setattr(squeue, "ask", found.ask)
    return found


def look(controller, seconds, every=1.0):
    """Look every second for some time; return how often SLURM was asked."""
    before, end = len(controller.asked), controller.now + seconds
    queue = controller.queue
    while controller.now < end:
        queue(())
        controller.now += every
    return len(controller.asked) - before


def test_the_last_answer_stands_until_it_is_time_to_ask_again(controller):
    queue = controller.queue = PacedQueue(clock=controller.clock)
    assert queue() == ["answer 1"]
    assert queue() == ["answer 1"]
    assert queue.pause_s == pytest.approx(PAUSE_S)
    controller.now += PAUSE_S - 1
    assert queue() == ["answer 1"]
    controller.now += 1
    assert queue() == ["answer 2"]
    assert 30 <= PAUSE_S <= 40


def test_ten_minutes_of_looking_ask_at_most_once_in_thirty_seconds(controller):
    controller.queue = PacedQueue(clock=controller.clock)
    assert 14 <= look(controller, 600) <= 20


@pytest.mark.parametrize("trouble", ["down", "slow"])
def test_a_controller_in_trouble_is_asked_less_and_less(controller, trouble):
    controller.queue = PacedQueue(clock=controller.clock)
    controller.down, controller.takes_s = trouble == "down", 2 * SLOW_S
    look(controller, 1500)
    gaps = [b - a for a, b in zip(controller.asked, controller.asked[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert LONGEST_S <= gaps[-1] <= LONGEST_S + 2 * SLOW_S + 2
    controller.down, controller.takes_s = False, 0.1
    controller.asked.clear()
    assert look(controller, 600) >= 12  # quick again, so asked as before
