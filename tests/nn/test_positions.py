"""Positions that start as waves: by hand, by loops, and what else stays as it was."""

import math

import pytest
import torch

from harness.nn.build import build_encoder
from harness.nn.positions import sine_positions
from harness.nn.settings import ViTSettings

SMALL = {"patch": 4, "width": 12, "depth": 4, "heads": 3, "positions": 3}


def rng():
    return torch.Generator().manual_seed(0)


def test_waves_of_two_axes_by_hand():
    waves = sine_positions(8, (2, 2))[0]
    # One axis has two rates, 1 and 0.1: sin, sin, cos, cos of 1 x and 0.1 x.
    assert waves[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    expected = [0.841471, 0.0998334, 0.540302, 0.995004, 0, 0, 1, 1]
    assert waves[:, 1, 0].tolist() == pytest.approx(expected, abs=1e-6)
    expected = [0, 0, 1, 1, 0.841471, 0.0998334, 0.540302, 0.995004]
    assert waves[:, 0, 1].tolist() == pytest.approx(expected, abs=1e-6)


def test_waves_of_three_axes_by_loops():
    grid, width = (2, 3, 4), 20  # three of each kind an axis, two channels left over
    waves = sine_positions(width, grid)
    assert waves.shape == (1, width, *grid)
    for at in [(i, j, k) for i in range(2) for j in range(3) for k in range(4)]:
        expected = []
        for place in at:
            angles = [place / 100 ** (f / 3) for f in range(3)]
            expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert waves[0, :, *at].tolist() == pytest.approx([*expected, 0, 0], abs=1e-6)


def test_no_two_places_are_alike():
    waves = sine_positions(192, (6, 6, 6))[0].flatten(1).T
    assert torch.pdist(waves).min() > 0.5


def test_a_narrow_width_is_refused():
    with pytest.raises(
        ValueError, match="width 5 has no sine and cosine for each of 3"
    ):
        sine_positions(5, (2, 2, 2))


def test_only_the_positions_start_otherwise_and_they_are_learnt():
    normal, sines = (
        build_encoder(ViTSettings(**SMALL, positions_start=start), 1, rng())
        for start in ("normal", "sines")
    )
    own = dict(sines.named_parameters())
    for name, parameter in normal.named_parameters():
        assert torch.equal(parameter, own[name]) is (name != "positions")
    assert torch.equal(own["positions"], sine_positions(12, (3, 3, 3)))
    assert own["positions"].requires_grad


def test_a_key_knows_waves_only_where_they_are():
    assert "positions_start" not in ViTSettings(**SMALL).model_dump()
    dumped = ViTSettings(**SMALL, positions_start="sines").model_dump()
    assert dumped["positions_start"] == "sines"
