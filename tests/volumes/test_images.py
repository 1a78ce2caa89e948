"""Images with two axes through preprocessing, cache and crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from harness.schema.errors import DataError
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.crops import CropSampler
from harness.volumes.formats import RawCase, list_cases, open_dataset
from harness.volumes.preprocess import prepare

FLAT = {"dims": 2, "crop": {"tiny": [8, 8]}, "channels": ["red", "green", "blue"]}
WINDOW = {"intensity": {"kind": "window", "low": 0, "high": 255}}


@pytest.fixture
def disc():
    """A disc of radius 20 mm, 20 mm below the left upper corner's row: colour, label."""
    rows, columns = np.indices((80, 120)) * np.array([1.0, 0.5]).reshape(2, 1, 1)
    label = ((rows - 40) ** 2 + (columns - 25) ** 2 <= 20**2).astype(np.uint8)
    image = np.stack([label * value for value in (250.0, 100.0, 30.0)])
    return RawCase(image.astype(np.float32), label, np.diag([1.0, 0.5, 1.0, 1.0]))


@pytest.fixture
def pictures(tmp_path):
    """Three colour pictures of a bright corner, with label maps, listed in a table."""
    folder = tmp_path / "made"
    folder.mkdir()
    lines = ["image,label"]
    for number in range(3):
        label = np.zeros((20, 30 + number), np.uint8)
        label[:4, :7] = 1
        colour = np.stack([label * 200, label * 100, label + number], axis=-1)
        Image.fromarray(colour).save(folder / f"{number}.png")
        Image.fromarray(label).save(folder / f"{number}_mask.png")
        lines.append(f"{number}.png,{number}_mask.png")
    (folder / "cases.csv").write_text("\n".join(lines))
    return tmp_path


def test_spacing_is_that_of_rows_and_columns(disc, make_spec):
    settings = make_spec(1, **FLAT, preprocess={"spacing": [2, 2], **WINDOW}).preprocess
    case = prepare(disc, settings, "a")
    assert case.image.shape == (3, 40, 30, 1)
    assert case.grid.spacing == (2, 2, 1)
    assert (case.label == 1).sum() * 4 == pytest.approx(np.pi * 20**2, rel=0.03)
    middle = np.argwhere(case.label[..., 0] == 1).mean(0)
    # centres of both grids fall together: row 40 of 80 is row 19.75 of 40
    assert middle == pytest.approx(
        [(40 + 0.5) / 2 - 0.5, (25 + 0.25) / 2 - 0.5], abs=0.3
    )


def test_a_size_is_reached_whatever_the_case_without_aliasing(disc, make_spec):
    settings = make_spec(1, **FLAT, preprocess={"size": [20, 20], **WINDOW}).preprocess
    case = prepare(disc, settings, "a")
    assert case.image.shape == (3, 20, 20, 1)
    assert case.grid.spacing == (4, 3, 1)
    stripes = np.zeros((3, 80, 120), np.float32)
    stripes[:, ::2] = 200
    for axis in (1, 2):  # finer than the new grid: even grey, not stripes
        raw = RawCase(stripes, np.zeros((80, 120), np.uint8), np.eye(4))
        flat = prepare(raw, settings, "a").image[:, 2:-2, 2:-2]
        assert np.ptp(flat) < 0.02 * 32767
        assert flat.mean() / 32767 * 255 == pytest.approx(100, rel=0.02)
        stripes = np.zeros((3, 80, 120), np.float32)
        stripes[:, :, ::2] = 200
        del axis
    with pytest.raises(ValueError, match="set 'spacing' or 'size', not both"):
        make_spec(1, **FLAT, preprocess={"size": [4, 4], "spacing": [1, 1], **WINDOW})
    with pytest.raises(ValueError, match="size has 3 sides, and the task is 2-D"):
        make_spec(1, **FLAT, preprocess={"size": [4, 4, 4], **WINDOW})


def test_the_cache_gives_two_axes_and_scores_on_the_files_own_grid(pictures, make_spec):
    spec = make_spec(
        3, **FLAT, format={"kind": "csv", "folder": "made"}, structures={"corner": 1},
        preprocess={"size": [16, 16], **WINDOW},
    )  # fmt: skip
    dataset = open_dataset("made", spec, [pictures])
    build_cache(dataset, list_cases(dataset), pictures / "cache")
    cached = open_cache(pictures / "cache")
    assert cached.dims == 2
    assert cached.shape(1) == (16, 16)
    assert cached.spacing(1) == (20 / 16, 31 / 16)
    assert cached.image(1).shape == (3, 16, 16)
    assert cached.label(1).shape == (16, 16)
    assert cached.points(1)[1].shape[1] == 2
    native = cached.native(1)
    assert native.label.shape == native.shape == (20, 31)
    assert native.label[:4, :7].all()
    assert native.diagonal_mm == pytest.approx(np.hypot(20, 31))
    back = cached.to_native(1, cached.label(1))
    assert back.shape == (20, 31)
    assert (back == native.label).mean() > 0.97
    scores = np.stack([1 - cached.label(1), cached.label(1)]).astype(np.float32)
    assert cached.to_native(1, scores).shape == (20, 31)


def test_crops_have_two_sides(pictures, make_spec):
    spec = make_spec(
        3, **FLAT, format={"kind": "csv", "folder": "made"}, structures={"corner": 1},
        preprocess=WINDOW,
    )  # fmt: skip
    dataset = open_dataset("made", spec, [pictures])
    cases = list_cases(dataset)
    build_cache(dataset, cases, pictures / "cache")
    cached = open_cache(pictures / "cache")
    ids = [ref.case_id for ref in cases]
    sampler = CropSampler(cached, ids, (8, 40), foreground=1.0)
    crops = sampler.sample(6, torch.Generator().manual_seed(0))
    assert crops.images.shape == (6, 3, 8, 40)
    assert crops.labels.shape == (6, 8, 40)
    # wider than the pictures: padded on both sides, label and image alike
    assert (crops.labels.sum((1, 2)) > 0).all()
    assert torch.equal(crops.images[:, 0] > 0.5, crops.labels == 1)
    assert (crops.images[..., :4] == 0).all()
    with pytest.raises(DataError, match="crop of 3 sides cannot be cut from 2-D cases"):
        CropSampler(cached, ids, (8, 8, 8))
