"""A model on images that no task lists: as its evaluation predicts, in their geometry."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from harness.run.predict import predict
from harness.schema.errors import DataError, Exit, UserError

from .test_system import SYSTEM

ROTATED = np.array([[0, 0, -3.0, 40], [-1.0, 0, 0, 7], [0, 1.0, 0, -20], [0, 0, 0, 1]])


@pytest.fixture
def system(tiny):
    """A trained cell that marks what is bright, for exact comparisons."""
    tiny.bench.add("methods/bright.py", SYSTEM)
    return tiny


def trained(tiny, *arguments, **more):
    plan = tiny.plan(*arguments, **more)
    keys = tiny.nodes(plan)
    assert tiny.run(keys) == Exit.DONE
    return keys[-1]


def painted(seed=0):
    """A bright ball beside a less bright plate, as the tests' task has them."""
    grid = np.indices((20, 24, 18)).astype(float)
    away = np.sqrt(
        ((grid - np.array([9, 11, 9])[:, None, None, None]) ** 2).sum(axis=0)
    )
    label = (away < 5).astype(np.uint8)
    label[1:3] = 2
    noise = np.random.default_rng(seed).normal(0.1, 0.01, label.shape)
    return (noise + 0.6 * (label == 1) + 0.38 * (label == 2)).astype(np.float32), label


def test_masks_lie_on_the_images_in_every_orientation_and_format(system, tmp_path):
    key = trained(
        system, "bright: ", tasks="{organs: {preprocess: {spacing: [2, 2, 3]}}}"
    )
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    voxels, label = painted()
    image = nib.Nifti1Image(voxels, ROTATED)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(ROTATED, 1)
    image.set_sform(ROTATED, 3)
    nib.save(image, images / "turned.nii.gz")
    itk = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    itk.SetSpacing((1.0, 1.0, 2.5))
    sitk.WriteImage(itk, str(images / "other.nrrd"))
    (images / "notes.txt").write_text("not an image")

    names = predict(system.store, key, images, out)
    assert sorted(names) == ["about.json", "other.nii.gz", "turned.nii.gz"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    found = nib.load(out / "turned.nii.gz")
    assert found.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(found.dataobj), label)
    np.testing.assert_allclose(found.affine, ROTATED)
    assert found.header["qform_code"] == 1
    assert found.header["sform_code"] == 3
    assert found.header.get_xyzt_units() == ("mm", "sec")
    # By a third party, on the grid of the image that it wrote.
    mask = sitk.ReadImage(str(out / "other.nii.gz"))
    np.testing.assert_allclose(mask.GetSpacing(), itk.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(mask.GetOrigin(), itk.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(mask.GetDirection(), itk.GetDirection(), atol=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask).T, label)
    about = json.loads((out / "about.json").read_text())
    assert about["structures"] == {"big": 1, "small": 2}
    assert about["cell"]["method"] == "bright"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_network_predicts_what_its_evaluation_did(tiny, tmp_path):
    """Classes of two-channel images, one file per channel, in order of the channels."""
    key = trained(tiny, "random: ", protocols="{linear_probe: {}}",
                  tasks="{graded_pairs: }")  # fmt: skip
    table = tiny.table(key, "predictions")
    want = {row.case_id: row.scores for row in table.itertuples()}
    images = tmp_path / "images"
    images.mkdir()
    from harness.registry.modules import load_module

    toy = load_module([tiny.bench.root], "tasks", "toy")
    chosen = [case for case in toy.cases(1, classes=2) if case.case_id in want][:3]
    for case in chosen:
        raw = toy.make(case, 1, classes=2, channels=2)
        for channel, voxels in enumerate(raw.image):
            name = f"{case.case_id}_{channel:04d}.nii.gz"
            nib.save(nib.Nifti1Image(voxels, raw.affine), images / name)
    names = predict(tiny.store, key, images, tmp_path / "out")
    assert names == ["scores.csv", "about.json"]
    with (tmp_path / "out/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [case.case_id for case in chosen]
    for row in rows:
        scores = [float(row["score_low"]), float(row["score_high"])]
        np.testing.assert_allclose(scores, want[row["case"]], atol=1e-5)
        assert row["class"] == ("low" if scores[0] >= scores[1] else "high")

    (images / f"{chosen[0].case_id}_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"lacks the channel 0001 \(b\), and the task"):
        predict(tiny.store, key, images, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def spoil(what, images, out):
    if what == "missing":
        images.rename(images.with_name("elsewhere"))
    elif what == "empty":
        (images / "one.nii.gz").unlink()
    elif what == "cut":
        path = images / "one.nii.gz"
        path.write_bytes(path.read_bytes()[:2000])
    elif what == "flat":
        nib.save(nib.Nifti1Image(np.ones((4, 4), np.float32), np.eye(4)),
                 images / "one.nii.gz")  # fmt: skip
    elif what == "twice":
        nib.save(nib.load(images / "one.nii.gz"), images / "one.nii")
    elif what == "full":
        out.mkdir()
        (out / "mine.txt").touch()


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", "images is no folder: name one that holds the images"),
        ("empty", "images holds no images: put NIfTI"),
        ("cut", r"one.nii.gz: the file is truncated"),
        ("flat", r"one.nii.gz: has 2 dimensions \(4, 4\), but a 3-D task"),
        ("twice", "one.nii and one.nii.gz are both one: rename one"),
        ("full", "out exists and is not empty: name a new folder"),
        ("unkept", "the weights of [0-9a-f]{16} were not kept: set 'keep:"),
        ("undone", "is not done"),
    ],
)
def test_what_cannot_be_predicted_is_said_and_leaves_nothing(
    system, tmp_path, what, sentence
):
    if what == "undone":
        plan = system.plan("bright: ")
        key = system.nodes(plan)[-1]
    else:
        more = "keep: {adapt: none}" if what == "unkept" else ""
        key = trained(system, "bright: ", more=more)
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    nib.save(nib.Nifti1Image(painted()[0], np.eye(4)), images / "one.nii.gz")
    spoil(what, images, out)
    with pytest.raises(UserError, match=sentence):
        predict(system.store, key, images, out)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".out")]
    assert what == "full" or not out.exists()
