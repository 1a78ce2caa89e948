from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from harness.volumes.grid import (
    grid_taps,
    plan_grid,
    resample,
    resample_label,
    taps,
    to_native,
    turn,
    turn_back,
)

ORIENTATIONS = [
    "".join(codes[axis] for codes, axis in zip(choice, order, strict=True))
    for order in itertools.permutations(range(3))
    for choice in itertools.product(("RAS", "LPI"), repeat=3)
]


def affine_of(codes: str, spacing) -> np.ndarray:
    """The affine of a file whose axes run to `codes`; `spacing` in the file's order."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        row = next(r for r, pair in enumerate(("RL", "AP", "SI")) if code in pair)
        affine[row, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    affine[:3, 3] = (12, -7, 30)
    return affine


def ball(shape, spacing, radius):
    """A ball of `radius` mm in the middle of a grid."""
    axes = [
        (np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)
    ]
    square = sum(a**2 for a in np.meshgrid(*axes, indexing="ij"))
    return (square <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_turning_equals_nibabel_and_back_is_exact(codes):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    affine = affine_of(codes, (1.0, 2.0, 3.0))
    assert "".join(nib.aff2axcodes(affine)) == codes
    grid = plan_grid(voxels.shape, affine, None)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(voxels, affine))
    np.testing.assert_array_equal(turn(voxels, grid), canonical.get_fdata())
    assert grid.shape == canonical.shape
    assert grid.spacing == pytest.approx(canonical.header.get_zooms())
    np.testing.assert_array_equal(turn_back(turn(voxels, grid), grid), voxels)
    assert not grid.resampled


@given(st.integers(1, 20), st.integers(1, 30), st.floats(0.3, 3.5))
def test_taps_interpolate_between_existing_voxels(count, new_count, ratio):
    low, high, weight = taps(count, new_count, ratio)
    assert 0 <= low.min() <= high.max() < count
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    place = (np.arange(new_count) - (new_count - 1) / 2) * ratio + (count - 1) / 2
    clipped = np.clip(place, 0, count - 1)
    np.testing.assert_allclose(low + weight * (high - low), clipped, atol=1e-4)


@given(
    st.tuples(*[st.integers(2, 9)] * 3),
    st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 2.5, 5.0])] * 3),
    st.sampled_from(ORIENTATIONS),
)
@settings(max_examples=40)
def test_resampling_equals_scipy(shape, spacing, codes):
    voxels = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    grid = plan_grid(shape, affine_of(codes, spacing), (1.0, 1.2, 2.0))
    turned = turn(voxels, grid)
    places = [
        (np.arange(n) - (n - 1) / 2) * mm / own + (old - 1) / 2
        for n, mm, own, old in zip(
            grid.shape, grid.spacing, grid.turned_spacing, turned.shape, strict=True
        )
    ]
    want = ndimage.map_coordinates(
        turned, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest"
    )
    got = resample(turned, grid_taps(grid))
    assert got.shape == grid.shape
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_spacing_that_differs_by_rounding_is_not_resampled():
    grid = plan_grid((4, 5, 6), np.diag([0.9999999, 1, 1, 1]), (1, 1, 1))
    assert not grid.resampled
    assert plan_grid((4, 5, 6), np.diag([0.99, 1, 1, 1]), (1, 1, 1)).resampled


@given(
    st.tuples(*[st.integers(3, 9)] * 3),
    st.tuples(*[st.sampled_from([0.7, 1.0, 1.9, 3.1])] * 3),
    st.integers(0, 100),
)
@settings(max_examples=40)
def test_labels_go_to_the_largest_interpolated_share(shape, spacing, seed):
    label = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    label[label == 2] = 0  # an absent class
    grid = plan_grid(shape, np.diag([*spacing, 1.0]), (1.0, 1.0, 1.0))
    along = grid_taps(grid)
    shares = np.stack([resample(label == value, along) for value in range(4)])
    got = resample_label(label, along)
    top_two = np.sort(shares, axis=0)[-2:]
    clear = top_two[1] - top_two[0] > 1e-3
    np.testing.assert_array_equal(got[clear], shares.argmax(0)[clear])
    # In a tie too the winner is one of the classes with the largest share.
    won = np.take_along_axis(shares, got[None].astype(int), 0)[0]
    assert (top_two[1] - won < 1e-3).all()


def test_a_tie_goes_to_the_nearest_voxel_and_keeps_planes_in_place():
    """Halving the resolution puts every new voxel between two old ones."""
    label = np.zeros((8, 1, 1), dtype=np.uint8)
    label[1:7] = 1  # the ends 0|1 and 6|7 lie inside new voxels: half and half
    along = (taps(8, 4, 2.0), taps(1, 1, 1.0), taps(1, 1, 1.0))
    got = resample_label(label, along).ravel().tolist()
    assert got == [1, 1, 1, 0]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA", "ILP"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 4.0), (0.6, 2.0, 1.1)])
def test_a_lesion_comes_back_to_its_own_grid(codes, spacing):
    """Round trip with flipped axes and anisotropic voxels: overlap and mm^3."""
    shape = tuple(round(48 / mm) for mm in spacing)
    label = ball(shape, spacing, 13.0)
    label[ball(shape, spacing, 7.0) > 0] = 2
    grid = plan_grid(shape, affine_of(codes, spacing), (1.5, 1.5, 1.5))
    cached = resample_label(turn(label, grid), grid_taps(grid))
    one_hot = np.stack([cached == value for value in range(3)]).astype(np.float32)
    for back in (to_native(cached, grid), to_native(one_hot, grid)):
        assert back.shape == shape
        for value in (1, 2):
            one, two = back == value, label == value
            dice = 2 * (one & two).sum() / (one.sum() + two.sum())
            assert dice > 0.9
        volume = (back > 0).sum() * np.prod(spacing)
        assert volume == pytest.approx((label > 0).sum() * np.prod(spacing), rel=0.05)
    assert (cached > 0).sum() * 1.5**3 == pytest.approx(
        (label > 0).sum() * np.prod(spacing), rel=0.05
    )


def test_scores_are_interpolated_before_the_largest_is_taken():
    grid = plan_grid((2, 4, 2), np.diag([2.0, 1.0, 1.0, 1.0]), (1.0, 2.0, 1.0))
    scores = np.random.default_rng(0).normal(size=(3, *grid.shape)).astype(np.float32)
    along = grid_taps(grid, back=True)
    want = np.stack([resample(one, along) for one in scores]).argmax(0)
    got = to_native(scores, grid)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, want)


def test_a_prediction_on_another_grid_is_refused():
    grid = plan_grid((4, 5, 6), np.eye(4), None)
    with pytest.raises(ValueError, match="does not fit the grid"):
        to_native(np.zeros((4, 5, 7), np.uint8), grid)


def test_an_oblique_scan_takes_the_nearest_axes():
    angle = np.deg2rad(20)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = affine_of("LPS", (2.0, 1.0, 3.0))
    affine[:2, :2] = turned @ affine[:2, :2]
    grid = plan_grid((4, 5, 6), affine, None)
    assert grid.axes == (0, 1, 2)
    assert grid.flips == (True, True, False)
    assert grid.native_spacing == pytest.approx((2.0, 1.0, 3.0))
