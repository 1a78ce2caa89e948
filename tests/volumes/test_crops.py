from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.schema.errors import DataError
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.crops import CropSampler
from harness.volumes.formats import list_cases


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def cached(folder, tmp_path):
    folder.fill(4, shape=(20, 16, 12))
    dataset = folder.open(4)
    build_cache(dataset, list_cases(dataset), tmp_path / "cache")
    return open_cache(tmp_path / "cache")


def find(cached, case_id, crop, label):
    """Return where an unpadded crop lies, by looking everywhere."""
    i = cached.index_of(case_id)
    volume = torch.from_numpy(cached.to_unit(cached.image(i)))
    size = crop.shape[1:]
    for start in np.ndindex(
        *(n - s + 1 for n, s in zip(volume.shape[1:], size, strict=True))
    ):
        cut = tuple(slice(a, a + s) for a, s in zip(start, size, strict=True))
        if torch.equal(volume[(slice(None), *cut)], crop):
            np.testing.assert_array_equal(cached.label(i)[cut], label)
            return start
    return None


def test_crops_are_cut_from_the_named_case_with_their_labels(cached):
    sampler = CropSampler(cached, cached.case_ids[1:], (8, 7, 6), 0.5)
    crops = sampler.sample(12, generator())
    assert crops.images.shape == (12, 1, 8, 7, 6)
    assert crops.images.dtype == torch.float32
    assert crops.labels.shape == (12, 8, 7, 6)
    assert crops.labels.dtype == torch.uint8
    assert set(crops.case_ids) <= set(cached.case_ids[1:])
    for image, label, case_id in zip(
        crops.images, crops.labels, crops.case_ids, strict=True
    ):
        assert find(cached, case_id, image, label) is not None


def test_crops_depend_on_the_generator_alone(cached):
    one = CropSampler(cached, cached.case_ids, (8, 8, 8), 0.5)
    two = CropSampler(open_cache(cached.folder), cached.case_ids, (8, 8, 8), 0.5)
    one.sample(3, generator(9))  # what was drawn before does not matter
    torch.rand(5)  # nor does the global generator
    a, b = one.sample(6, generator(1)), two.sample(6, generator(1))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.labels, b.labels)
    assert a.case_ids == b.case_ids
    assert not torch.equal(a.images, one.sample(6, generator(2)).images)
    # One batch of six is two batches of three.
    rng = generator(1)
    halves = [one.sample(3, rng).images for _ in range(2)]
    assert torch.equal(torch.cat(halves), a.images)


def test_small_volumes_are_padded_with_zeros_on_both_sides(cached):
    crops = CropSampler(cached, [cached.case_ids[0]], (8, 8, 16), 0.5).sample(
        5, generator()
    )
    assert (crops.images[..., :2] == 0).all()
    assert (crops.images[..., -2:] == 0).all()
    assert (crops.labels[..., :2] == 0).all()
    inner = crops.images[..., 2:-2]
    for image, label in zip(inner, crops.labels[..., 2:-2], strict=True):
        assert find(cached, cached.case_ids[0], image, label) is not None
    whole = CropSampler(cached, [cached.case_ids[0]], (20, 16, 12)).sample(
        1, generator()
    )
    unit = cached.to_unit(cached.image(0))
    np.testing.assert_array_equal(whole.images[0], unit)


def test_foreground_crops_hold_a_structure_near_their_middle(
    folder, make_blob, tmp_path
):
    image, label = make_blob((40, 40, 40), 0)
    label[:] = 0
    label[3, 30, 20] = 1
    label[30:34, 5:9, 20:24] = 2
    folder.write("a.nii.gz", image, label)
    dataset = folder.open(1)
    build_cache(dataset, list_cases(dataset), tmp_path / "cache")
    cached = open_cache(tmp_path / "cache")
    crops = CropSampler(cached, cached.case_ids, (8, 8, 8), 1.0).sample(
        200, generator()
    )
    held = crops.labels.flatten(1)
    assert (held.amax(1) > 0).all()
    # Each structure is equally likely, though one has 64 times the voxels.
    small = (held == 1).any(1).float().mean().item()
    assert small == pytest.approx(0.5, abs=0.12)
    places = {tuple(p) for p in torch.argwhere(crops.labels == 1)[:, 2:].tolist()}
    assert len(places) > 5  # near the middle, not always at one place
    assert all(2 <= a <= 6 and 2 <= b <= 6 for a, b in places)
    anywhere = CropSampler(cached, cached.case_ids, (8, 8, 8), 0.0)
    held = anywhere.sample(200, generator()).labels.flatten(1)
    assert (held.amax(1) > 0).float().mean() < 0.2


def test_every_place_and_case_is_reached(cached):
    sampler = CropSampler(cached, cached.case_ids, (18, 15, 12))
    crops = sampler.sample(300, generator())
    assert set(crops.case_ids) == set(cached.case_ids)
    starts = {
        find(cached, case_id, image, label)
        for image, label, case_id in zip(
            crops.images, crops.labels, crops.case_ids, strict=True
        )
    }
    assert starts == {(a, b, 0) for a in range(3) for b in range(2)}


def test_labels_can_be_left_out_and_no_case_is_refused(cached):
    crops = CropSampler(cached, cached.case_ids, (4, 4, 4), labels=False)
    assert crops.sample(2, generator()).labels is None
    with pytest.raises(DataError, match="at least one case"):
        CropSampler(cached, [], (4, 4, 4))
    with pytest.raises(DataError, match="'nobody' is not in the cache"):
        CropSampler(cached, ["nobody"], (4, 4, 4))


def test_cases_are_as_likely_as_their_weights(cached):
    ids = sorted(cached.case_ids)[:3]
    sampler = CropSampler(cached, ids, (4, 4, 4), weights=[2.0, 0.0, 6.0])
    drawn = sampler.sample(400, generator()).drawn
    counts = [drawn.count(case_id) for case_id in ids]
    assert counts[1] == 0
    assert 70 < counts[0] < 130
    assert sum(counts) == 400
