from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from harness.schema.errors import DataError, UserError
from harness.volumes import build
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.formats import fingerprint, list_cases
from harness.volumes.preprocess import (
    POINTS,
    QUANTISATION_ERROR,
    STEPS,
    intensity_range,
    quantise,
    structure_points,
    to_unit,
)

WINDOW = {"intensity": {"kind": "window", "low": -50, "high": 250}}


def built(dataset, folder: Path, **options):
    cases = list_cases(dataset)
    build_cache(dataset, cases, folder, **options)
    return open_cache(folder)


def files_under(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def test_every_voxel_is_within_the_stated_error(folder, tmp_path):
    folder.fill(3)
    cached = built(folder.open(3, preprocess=WINDOW), tmp_path / "cache")
    assert cached.case_ids == ("blob_000", "blob_001", "blob_002")
    for i, name in enumerate(cached.case_ids):
        image = nib.load(folder.path / "imagesTr" / f"{name}.nii.gz").get_fdata()
        want = np.clip((image + 50) / 300, 0, 1)
        got = cached.to_unit(cached.image(i))
        assert got.dtype == np.float32
        assert got.shape == (1, *image.shape)
        assert np.abs(got[0] - want).max() <= QUANTISATION_ERROR * 1.02 + 1e-7
        label = np.asarray(
            nib.load(folder.path / "labelsTr" / f"{name}.nii.gz").dataobj
        )
        np.testing.assert_array_equal(cached.label(i), label)
        assert cached.index_of(name) == i
    with pytest.raises(DataError, match="case 'nobody' is not in the cache"):
        cached.index_of("nobody")


def test_steps_cover_the_unit_interval_exactly():
    every = np.arange(STEPS + 1, dtype=np.int16)
    unit = to_unit(every)
    assert unit[0] == 0
    assert unit[-1] == 1
    assert (np.diff(unit) > 0).all()
    np.testing.assert_array_equal(quantise(unit, 0, 1), every)
    np.testing.assert_array_equal(
        quantise(np.array([-9, 9], np.float32), 0, 1), [0, STEPS]
    )


def test_percentiles_of_each_channel_become_0_and_1(folder, make_blob, tmp_path):
    image, label = make_blob((12, 10, 8), 1)
    folder.write("a.nii.gz", np.stack([image, 50 - 3 * image], 3), label)
    rule = {"intensity": {"kind": "percentiles", "low": 10, "high": 80}}
    dataset = folder.open(1, channels=("a", "b"), preprocess=rule)
    cached = built(dataset, tmp_path / "cache")
    unit = cached.to_unit(cached.image(0))
    for channel, raw in enumerate((image, 50 - 3 * image)):
        low, high = np.percentile(raw, (10, 80))
        want = np.clip((raw - low) / (high - low), 0, 1)
        np.testing.assert_allclose(unit[channel], want, atol=2e-5)


def test_percentiles_of_a_mostly_empty_image_fall_back_to_its_range(make_spec):
    rule = make_spec(1).preprocess.intensity
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[3, 4, 5] = 8
    assert intensity_range(voxels, rule, "x") == (0, 8)
    with pytest.raises(DataError, match="case 'x': every voxel is 2"):
        intensity_range(np.full((2, 2, 2), 2, np.float32), rule, "x")


@pytest.mark.parametrize("codes", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_a_lesion_keeps_its_volume_on_the_native_grid(folder, tmp_path, codes):
    """Flipped axes and anisotropic voxels; the true volume in mm^3 is recovered."""
    spacing = (0.8, 1.5, 4.0)
    shape = (50, 30, 12)
    axes = [(np.arange(n) - n / 2.2) * s for n, s in zip(shape, spacing, strict=True)]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    label = (radius < 12).astype(np.uint8)
    image = (100 - radius).astype(np.float32)
    affine = np.diag([*np.multiply(spacing, codes), 1.0])
    folder.write("a.nii.gz", image, label, affine)
    preprocess = {"spacing": [1, 1, 1], "intensity": {"kind": "percentiles"}}
    dataset = folder.open(1, preprocess=preprocess, structures={"lesion": 1})
    cached = built(dataset, tmp_path / "cache")
    truth = label.sum() * np.prod(spacing)

    native = cached.native(0)
    np.testing.assert_array_equal(native.label, label)
    assert native.spacing == pytest.approx(spacing)
    assert native.label.sum() * np.prod(native.spacing) == pytest.approx(truth)
    sides = np.multiply(shape, spacing)
    assert native.diagonal_mm == pytest.approx(float(np.sqrt((sides**2).sum())))

    assert cached.spacing(0) == (1, 1, 1)
    assert cached.shape(0) == (40, 45, 48)
    assert cached.label(0).sum() == pytest.approx(truth, rel=0.03)
    back = cached.to_native(0, cached.label(0))
    assert back.shape == shape
    assert back.sum() * np.prod(spacing) == pytest.approx(truth, rel=0.03)
    assert 2 * (back & label).sum() / (back.sum() + label.sum()) > 0.95
    # Axes must not be mixed up: the brightest voxels lie round the ball's centre.
    bright = np.argwhere(cached.image(0)[0] == STEPS).mean(0)
    centre = np.argwhere(cached.label(0)).mean(0)
    assert np.abs(bright - centre).max() < 1


def test_without_resampling_native_labels_are_exact(folder, tmp_path):
    folder.fill(2, affine=np.diag([-1.0, 2.0, -3.0, 1.0]))
    cached = built(folder.open(2), tmp_path / "cache")
    assert (tmp_path / "cache" / "native.u8").stat().st_size == 0
    for i in range(2):
        native = cached.native(i)
        path = folder.path / "labelsTr" / f"{cached.case_ids[i]}.nii.gz"
        label = np.asarray(nib.load(path).dataobj)
        np.testing.assert_array_equal(native.label, label)
        np.testing.assert_array_equal(cached.to_native(i, cached.label(i)), label)


def test_points_are_voxels_of_their_structure():
    label = np.zeros((30, 30, 30), np.uint8)
    label[5:25, 5:25, 5:25] = 1  # 8,000 voxels: more than are kept
    label[0, 0, :3] = 3
    found = structure_points(label, "case")
    assert set(found) == {1, 3}
    assert found[1].shape == (POINTS, 3)
    assert found[3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    for value, places in found.items():
        assert (label[tuple(places.T)] == value).all()
        assert len(np.unique(places, axis=0)) == len(places)
    again = structure_points(label, "case")
    np.testing.assert_array_equal(found[1], again[1])
    assert np.abs(found[1].mean(0) - 14.5).max() < 1


def test_views_are_read_only_and_mapped(folder, tmp_path):
    folder.fill(1)
    cached = built(folder.open(1), tmp_path / "cache")
    for view in (cached.image(0), cached.label(0)):
        assert not view.flags.writeable
        assert not view.flags.owndata
    copy = pickle.loads(pickle.dumps(cached))
    np.testing.assert_array_equal(copy.image(0), cached.image(0))
    assert len(pickle.dumps(cached)) < 1000


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_who_may_read_a_cache_is_left_to_the_umask(folder, tmp_path, mask):
    folder.fill(1)
    before = os.umask(mask)
    try:
        built(folder.open(1), tmp_path / "cache")
    finally:
        os.umask(before)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o777 & ~mask
    assert (tmp_path / "cache" / "images.i16").stat().st_mode & 0o777 == 0o666 & ~mask


def test_workers_do_not_change_a_byte(folder, tmp_path):
    folder.fill(6, affine=np.diag([-1.0, 2.0, 3.0, 1.0]))
    spacing = {"spacing": [1.5, 1.5, 1.5], "intensity": {"kind": "percentiles"}}
    for workers in (1, 3):
        built(
            folder.open(6, preprocess=spacing), tmp_path / str(workers), workers=workers
        )
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "3" / path.name).read_bytes()


def test_a_finished_cache_is_not_built_again(folder, tmp_path):
    folder.fill(2)
    calls: list[tuple[int, int]] = []

    def progress(*args):
        calls.append(args)

    built(folder.open(2), tmp_path / "cache", progress=progress)
    assert calls == [(1, 2), (2, 2)]
    before = {p: p.stat().st_mtime_ns for p in files_under(tmp_path / "cache")}
    built(folder.open(2), tmp_path / "cache", progress=progress)
    assert len(calls) == 2
    assert {p: p.stat().st_mtime_ns for p in files_under(tmp_path / "cache")} == before


def test_all_faults_are_told_at_once_and_nothing_is_written(folder, tmp_path):
    folder.fill(15)
    names = [f"blob_{k:03}.nii.gz" for k in range(15)]
    for name in names[:4]:
        path = folder.path / "imagesTr" / name
        path.write_bytes(path.read_bytes()[:200])
    for name in names[4:13]:
        path = folder.path / "labelsTr" / name
        label = np.asarray(nib.load(path).dataobj) + 3
        nib.save(nib.Nifti1Image(label.astype(np.uint8), np.eye(4)), path)
    before = files_under(tmp_path)
    with pytest.raises(DataError) as caught:
        built(folder.open(15), tmp_path / "results" / "cache" / "x", workers=2)
    lines = str(caught.value).splitlines()
    assert lines[0] == "dataset 'blobs' has 13 faults:"
    assert len(lines) == 12
    assert "imagesTr/blob_000.nii.gz" in lines[1]
    assert "truncated" in lines[1]
    assert "labelsTr/blob_005.nii.gz: the label has the value 3" in lines[6]
    assert lines[-1].strip() == "and 3 more."
    assert files_under(tmp_path) == before


def test_a_single_fault_is_one_sentence(folder, tmp_path):
    folder.fill(3)
    path = folder.path / "labelsTr" / "blob_001.nii.gz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError) as caught:
        built(folder.open(3), tmp_path / "cache")
    assert str(caught.value) == (
        "labelsTr/blob_001.nii.gz: the file is truncated; copy or download it again"
    )


def test_a_killed_build_leaves_nothing_that_counts(folder, tmp_path):
    folder.fill(2)
    parent = tmp_path / "data_cache"
    abandoned = parent / ".x.killed"
    abandoned.mkdir(parents=True)
    (abandoned / "images.i16").write_bytes(b"half")
    fresh = parent / ".x.running"
    fresh.mkdir()
    long_ago = time.time() - 3 * 24 * 3600
    for path in (abandoned / "images.i16", abandoned):
        os.utime(path, (long_ago, long_ago))
    built(folder.open(2), parent / "x")
    assert sorted(p.name for p in parent.iterdir()) == [".x.running", "x"]


def _build(dataset, cases, folder, barrier):
    barrier.wait(timeout=60)
    build_cache(dataset, cases, folder)


def test_two_processes_may_build_at_once(folder, tmp_path):
    folder.fill(8, shape=(40, 40, 40))
    dataset = folder.open(8)
    cases = list_cases(dataset)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    args = (dataset, cases, tmp_path / "cache" / "x", barrier)
    processes = [context.Process(target=_build, args=args) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["x"]
    assert len(open_cache(tmp_path / "cache" / "x")) == 8


def test_the_loser_of_a_race_keeps_the_winners_files(folder, tmp_path, monkeypatch):
    folder.fill(2)
    target = tmp_path / "cache"
    dataset = folder.open(2)
    whole = build._is_whole
    answers = iter([False])  # at the first look nothing is there yet
    monkeypatch.setattr(build, "_is_whole", lambda *a: next(answers, None) or whole(*a))
    publish = build._publish

    def late(building, final, mark):
        monkeypatch.setattr(build, "_is_whole", whole)
        monkeypatch.setattr(build, "_publish", publish)
        built(dataset, target)  # somebody else is faster
        winner = (target / "index.json").stat().st_ino
        publish(building, final, mark)
        assert (target / "index.json").stat().st_ino == winner

    monkeypatch.setattr(build, "_publish", late)
    built(dataset, target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "data"]


def test_damage_is_noticed_and_mended(folder, tmp_path):
    folder.fill(2)
    target = tmp_path / "cache"
    with pytest.raises(DataError, match="there is no volume cache in"):
        open_cache(target)
    built(folder.open(2), target)
    with (target / "images.i16").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="is damaged; delete this folder"):
        open_cache(target)
    assert len(built(folder.open(2), target)) == 2
    (target / "index.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        open_cache(target)
    (target / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="written by a newer version"):
        open_cache(target)


def test_a_folder_of_other_data_is_replaced(folder, tmp_path):
    folder.fill(2)
    built(folder.open(2), tmp_path / "cache")
    cached = built(folder.open(2, preprocess=WINDOW), tmp_path / "cache")
    dataset = folder.open(2, preprocess=WINDOW)
    assert cached.fingerprint == fingerprint(dataset, list_cases(dataset))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(folder, tmp_path, monkeypatch):
    folder.fill(2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "_put", full)
    with pytest.raises(UserError, match=r"no space left in .* of 'blobs'"):
        built(folder.open(2), tmp_path / "new" / "cache")
    assert not (tmp_path / "new").exists()


def test_real_hippocampus_survives_the_round_trip(real_data, tmp_path):
    dataset, cases = real_data
    build_cache(dataset, cases[:5], tmp_path / "cache")
    cached = open_cache(tmp_path / "cache")
    for i, ref in enumerate(cases[:5]):
        label = np.asarray(nib.load(dataset.root / ref.label).dataobj)
        np.testing.assert_array_equal(cached.native(i).label, label)
        np.testing.assert_array_equal(cached.to_native(i, cached.label(i)), label)
        unit = cached.to_unit(cached.image(i))
        assert unit.min() == 0
        assert unit.max() == 1
