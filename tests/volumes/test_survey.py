"""A person's own table is looked through; what it lacks is said by name."""

import csv

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from harness.schema.errors import DataError
from harness.volumes.survey import survey


def table(root, head, rows):
    path = root / "cases.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def volumes(root, count=8, values=(0, 2, 5), spread=100):
    """Volumes of two channels and masks with gaps between their values."""
    rows = []
    for number in range(count):
        rng = np.random.default_rng(number)
        affine = np.diag([1.0, 1.0, 2.0 + number / 10, 1.0])
        names = [f"{number}_{what}.nii.gz" for what in ("t1", "t2", "mask")]
        for name in names[:2]:
            voxels = rng.normal(0, spread, (6, 6, 4)).astype(np.float32)
            nib.save(nib.Nifti1Image(voxels, affine), root / name)
        mask = rng.choice(values, (6, 6, 4)).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, affine), root / names[2])
        rows.append((*names, f"p{number // 2}"))
    return rows


def test_a_table_of_volumes(tmp_path):
    rows = volumes(tmp_path)
    head = ("image_t1", "image_t2", "label", "patient")
    found = survey(table(tmp_path, head, rows))
    assert (found.kind, found.dims, found.cases, found.patients) == (
        "segmentation",
        3,
        8,
        4,
    )
    assert found.columns == ("image_t1", "image_t2")
    assert found.channels == ("t1", "t2")
    assert found.values == (2, 5)
    assert found.spacing == (1.0, 1.0, 2.35)
    assert found.is_ct  # values far below 0 occur
    assert not found.split


def test_a_table_of_pictures(tmp_path):
    for number in range(9):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 255, (8, 9, 3), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    rows = [(f"{n}.png", "ill" if n % 3 else "well", "test" if n > 6 else "train")
            for n in range(9)]  # fmt: skip
    found = survey(table(tmp_path, ("image", "target", "split"), rows))
    assert (found.kind, found.dims, found.split) == ("classification", 2, True)
    assert found.classes == ("ill", "well")
    assert (found.fewest, found.validated) == (3, False)
    assert found.channels == ("red", "green", "blue")
    assert found.spacing is None
    assert not found.is_ct


@pytest.mark.parametrize(
    ("head", "change", "sentence"),
    [
        (("scan", "label"), None, "needs a column 'image' with paths of images, .* it has "
         "scan, label"),
        (("image", "mask"), None, "and 'label' with paths .* it has image, mask"),
        (("image", "label"), "short", "lists 3 cases; with fewer than 6"),
        (("image", "label"), "gone", "0_t1.nii.gz: the file is listed but missing"),
        (("image", "label"), "empty", "every label map is empty"),
        (("image", "label"), "halves", "a label map has whole numbers from 0 to 255"),
        (("image", "label"), "unsaid", "case 3 of the table names no label map"),
        (("image", "target"), "one", "says well of every case: a task needs two classes"),
        (("image", "target"), "numbers", "names 8 classes for 8 cases: sort them into"),
        (("image", "label"), "no image", "case 3 of the table names no image"),
        (("image", "label"), "other", "has 3 dimensions and 2 channels, but 0_t1.nii.gz"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(tmp_path, head, change, sentence):
    values = {"empty": (0,)}.get(change, (0, 1))
    rows = [(row[0], row[2]) for row in volumes(tmp_path, values=values)]
    if change == "short":
        rows = rows[:3]
    elif change == "gone":
        (tmp_path / "0_t1.nii.gz").unlink()
    elif change == "halves":
        half = nib.Nifti1Image(np.full((6, 6, 4), 0.5, np.float32), np.eye(4))
        nib.save(half, tmp_path / "1_mask.nii.gz")
    elif change == "unsaid":
        rows[2] = (rows[2][0], "")
    elif change == "no image":
        rows[2] = ("", rows[2][1])
    elif change == "other":
        other = nib.Nifti1Image(np.zeros((6, 6, 4, 2), np.float32), np.eye(4))
        nib.save(other, tmp_path / "1_t1.nii.gz")
    elif change == "numbers":
        rows = [(image, f"{n}.5") for n, (image, _) in enumerate(rows)]
    elif change == "one":
        rows = [(image, "well") for image, _ in rows]
    with pytest.raises(DataError, match=sentence):
        survey(table(tmp_path, head, rows))
