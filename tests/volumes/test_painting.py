"""Painting against slow references: distances, boxes, blocks, noise."""

from __future__ import annotations

import numpy as np
import pytest

from harness.volumes.painting import (
    Ball,
    Canvas,
    correlated_noise,
    majority_blocks,
    mean_blocks,
    pose,
    smooth_displacement,
)

AXES = tuple(
    np.linspace(-half, half, n, dtype=np.float32)
    for half, n in ((40, 40), (30, 36), (50, 30))
)
SHAPE = tuple(len(axis) for axis in AXES)


def grid():
    return np.stack(np.meshgrid(*AXES, indexing="ij"))


def moved(seed=0):
    rng = np.random.default_rng(seed)
    return pose(rng, AXES) + smooth_displacement(rng, SHAPE, knots=4, sd=3)


def by_hand(ball, point):
    """Turn about A (x and z), then about R (y and z), then divide by the radii."""
    x, y, z = np.subtract(point, ball.centre)
    a, r = np.radians(ball.tilt)
    x, z = np.cos(a) * x - np.sin(a) * z, np.sin(a) * x + np.cos(a) * z
    y, z = np.cos(r) * y - np.sin(r) * z, np.sin(r) * y + np.cos(r) * z
    return sum(
        (v / radius) ** 2 for v, radius in zip((x, y, z), ball.radii, strict=True)
    )


@pytest.mark.parametrize("tilt", [(0, 0), (25, 0), (0, -40), (30, 50)])
def test_square_equals_a_turn_by_hand(tilt):
    ball = Ball((3, -2, 5), (12, 7, 20), tilt)
    points = np.random.default_rng(0).uniform(-30, 30, (50, 3))
    found = ball.square(points.T.astype(np.float32))
    assert found == pytest.approx([by_hand(ball, p) for p in points], rel=1e-4)


@pytest.mark.parametrize("tilt", [(0, 0), (35, -20)])
def test_half_is_the_smallest_box(tilt):
    ball = Ball((0, 0, 0), (12, 7, 20), tilt)
    directions = np.random.default_rng(0).normal(size=(20000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    surface = (directions * ball.radii) @ ball.turn()
    assert ball.square(surface.T.astype(np.float32)) == pytest.approx(1, abs=1e-4)
    assert abs(surface).max(0) == pytest.approx(ball.half(), rel=0.01)


@pytest.mark.parametrize("tilt", [(0, 0), (35, -20)])
def test_fill_in_a_deformed_body_misses_nothing(tilt):
    where = moved()
    canvas = Canvas.blank(where, AXES, -1000)
    ball = Ball((8, -6, 14), (11, 8, 17), tilt)
    canvas.fill(ball, 50, 3)
    inside = ball.square(where) < 1
    assert 300 < inside.sum() < inside.size / 4
    assert np.array_equal(canvas.label == 3, inside)
    assert np.array_equal(canvas.value == 50, inside)


def test_fill_over_one_label_and_round_holes():
    where = moved()
    canvas = Canvas.blank(where, AXES, 0)
    liver, hole = Ball((0, 0, 0), (25, 20, 30)), Ball((10, 0, 0), (9, 9, 9))
    canvas.fill(liver, 100, 1, without=(hole,))
    canvas.fill(Ball((-24, 0, 0), (12, 12, 12)), 60, 2, within=1)
    tumour = Ball((-24, 0, 0), (12, 12, 12)).square(where) < 1
    organ = (liver.square(where) < 1) & (hole.square(where) >= 1)
    assert np.array_equal(canvas.label, np.where(organ, 1 + (organ & tumour), 0))
    assert (organ & tumour).any()


def test_a_ball_outside_paints_nothing():
    canvas = Canvas.blank(grid(), AXES, 0)
    canvas.fill(Ball((500, 0, 0), (5, 5, 5)), 1, 1)
    assert not canvas.label.any()


def test_a_value_without_label_leaves_labels():
    canvas = Canvas.blank(grid(), AXES, 0)
    canvas.fill(Ball((0, 0, 0), (20, 20, 20)), 1, 1)
    before = canvas.label.copy()
    canvas.fill(Ball((0, 0, 0), (10, 10, 10)), 2)
    assert np.array_equal(canvas.label, before)
    assert (canvas.value == 2).any()


def test_pose_is_a_small_motion_that_keeps_sides():
    for seed in range(20):
        where = pose(np.random.default_rng(seed), AXES)
        assert abs(where - grid()).max() < 25
        for axis in range(3):
            assert (np.diff(where[axis], axis=axis) > 0).all()


def test_displacement_is_smooth_and_as_large_as_asked():
    fields = [
        smooth_displacement(np.random.default_rng(seed), SHAPE, knots=5, sd=4)
        for seed in range(20)
    ]
    assert np.std(fields) == pytest.approx(4, rel=0.15)
    steps = max(
        abs(np.diff(field, axis=axis)).max() for field in fields for axis in (1, 3)
    )
    assert steps < 3
    assert fields[0].shape == (3, *SHAPE)
    assert fields[0].dtype == np.float32


def test_blocks_equal_a_loop():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (6, 4, 8)).astype(np.uint8)
    values = rng.normal(size=labels.shape).astype(np.float32)
    got_label, got_mean = majority_blocks(labels, 2, 4), mean_blocks(values, 2)
    for i, j, k in np.ndindex(3, 2, 4):
        block = (
            slice(2 * i, 2 * i + 2),
            slice(2 * j, 2 * j + 2),
            slice(2 * k, 2 * k + 2),
        )
        assert got_label[i, j, k] == np.bincount(labels[block].ravel()).argmax()
        assert got_mean[i, j, k] == pytest.approx(values[block].mean(), abs=1e-6)


def test_noise_has_its_size_and_correlation():
    rng = np.random.default_rng(0)
    noise = correlated_noise(rng, (40, 40, 40), sigma=(1.0, 1.0, 0.0), sd=12)
    assert noise.std() == pytest.approx(12, rel=1e-3)
    # A white field smoothed by a Gaussian of sigma s correlates as exp(-1 / 4 s^2).
    along = np.mean(noise[1:] * noise[:-1]) / noise.var()
    across = np.mean(noise[..., 1:] * noise[..., :-1]) / noise.var()
    assert along == pytest.approx(np.exp(-0.25), abs=0.05)
    assert abs(across) < 0.05
