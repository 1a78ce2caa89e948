"""Intervals of quantities that have a range are cut where it ends."""

import math

import pytest

from harness.analyse.estimate import ANY, SHARE, clipped, of_difference, over_runs


def test_an_interval_of_two_runs_ends_where_the_quantity_does():
    wide = over_runs([0.9, 0.98])
    assert wide.high > 1
    cut = clipped(wide, SHARE)
    assert (cut.value, cut.low, cut.high) == (wide.value, wide.low, 1.0)
    assert (cut.spread, cut.freedom) == (wide.spread, wide.freedom)
    assert clipped(over_runs([0.02, 0.1]), SHARE).low == 0.0
    assert clipped(wide, ANY) == wide
    assert clipped(over_runs([0.9]), SHARE).low is None


def test_a_value_past_its_range_by_rounding_stays_in_its_interval():
    found = clipped(over_runs([1 + 1e-9, 1 + 3e-9]), SHARE)
    assert found.low < found.value == found.high > 1


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((0.1, 1.0), (-0.9, 0.9)), ((0.0, math.inf), (-math.inf, math.inf))],
)
def test_a_difference_has_twice_the_range(limits, expected):
    assert of_difference(limits) == expected
