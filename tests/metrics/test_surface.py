"""HD95 against MONAI and against a brute-force loop."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from harness.metrics.surface import hd95
from harness.schema.scores import Score


def shapes(rng, shape, classes, smooth):
    """Random label maps: smooth blobs of every class, or salt and pepper."""
    noise = rng.normal(size=(classes, *shape))
    if smooth:
        noise = np.stack([gaussian_filter(n, smooth) for n in noise])
    noise[0] += 0.5 * noise.std()
    return noise.argmax(axis=0).astype(np.uint8)


def brute_surface(mask):
    """Surface voxels by looking at all six face neighbours of each voxel."""
    found = []
    for voxel in np.argwhere(mask):
        for axis, step in itertools.product(range(3), (-1, 1)):
            near = voxel.copy()
            near[axis] += step
            inside = 0 <= near[axis] < mask.shape[axis]
            if not inside or not mask[tuple(near)]:
                found.append(voxel)
                break
    return np.array(found)


def brute_hd95(pred, truth, spacing):
    one, two = (brute_surface(m) * np.asarray(spacing) for m in (pred, truth))
    apart = np.sqrt(((one[:, None] - two[None]) ** 2).sum(-1))
    return max(np.percentile(apart.min(1), 95), np.percentile(apart.min(0), 95))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    smooth=st.sampled_from([0, 1.0, 2.0]),
    close=st.booleans(),
)
def test_equals_brute_force(seed, smooth, close):
    rng = np.random.default_rng(seed)
    shape, spacing = tuple(rng.integers(1, 12, 3)), tuple(rng.uniform(0.3, 5, 3))
    truth = shapes(rng, shape, 3, smooth)
    pred = truth.copy() if close else shapes(rng, shape, 3, smooth)
    if close:  # few voxels differ: the percentile falls among zeros, or just above
        pred[rng.random(shape) < rng.choice([0, 0.01, 0.05, 0.2])] = 1
    for k, score in enumerate(hd95(pred, truth, 3, spacing), start=1):
        empty = (not (pred == k).any(), not (truth == k).any())
        if any(empty):
            want = {(1, 1): "both_empty", (1, 0): "pred_empty", (0, 1): "gt_empty"}
            assert score == Score(None, want[empty])
        else:
            want = brute_hd95(pred == k, truth == k, spacing)
            assert score.reason is None
            assert score.value == pytest.approx(want, abs=1e-9)


# MONAI 1.6.1 calls its own deprecated argument.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_equals_monai_on_random_shapes_with_anisotropic_spacing():
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_hausdorff_distance

    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(12):
        shape, spacing = tuple(rng.integers(6, 36, 3)), tuple(rng.uniform(0.4, 5, 3))
        pred, truth = (shapes(rng, shape, 4, 2.0) for _ in range(2))
        ours = hd95(pred, truth, 4, spacing)
        hot = [
            torch.stack([torch.from_numpy(m == k) for k in range(4)])[None].float()
            for m in (pred, truth)
        ]
        for k, score in enumerate(ours, start=1):
            if score.value is None:
                continue
            theirs = compute_hausdorff_distance(
                *(h[:, [k]] for h in hot),
                include_background=True, percentile=95, spacing=spacing,
            )  # fmt: skip
            assert score.value == pytest.approx(theirs.item(), rel=2e-6, abs=1e-5)
            compared += 1
    assert compared > 25


def test_a_known_distance_in_mm_and_identical_maps():
    pred, truth = np.zeros((2, 10, 10, 10), np.uint8)
    pred[2, 5, 5], truth[8, 5, 5] = 1, 1
    assert hd95(pred, truth, 2, (2.5, 1, 1)) == [Score(15.0)]
    assert hd95(truth, truth, 2, (2.5, 1, 1)) == [Score(0.0)]


def test_bad_input_is_refused():
    a = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ValueError, match="3 positive numbers"):
        hd95(a, a, 2, (1, 1))
    with pytest.raises(ValueError, match="3 positive numbers"):
        hd95(a, a, 2, (1, 1, 0))
    with pytest.raises(ValueError, match="differ in shape"):
        hd95(a, a[:1], 2, (1, 1, 1))
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        hd95(a + 2, a, 2, (1, 1, 1))
