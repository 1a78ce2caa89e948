"""Images that no table lists, which predictions are asked of, and what is written."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pydicom
import pytest

from harness.schema.errors import DataError
from harness.volumes.files import read_file
from harness.volumes.folder import open_folder
from harness.volumes.formats import read_case
from harness.volumes.save import save_labels

from .ellipsoid import Series
from .listed import picture

FLAT = {"dims": 2, "crop": {"tiny": [8, 8]}}


def ids(folder, spec):
    _, cases = open_folder(folder, spec)
    return [ref.case_id for ref in cases]


def test_numbers_of_cases_are_no_channels(tmp_path, make_spec):
    """Of one channel, that is: only where every name ends with _0000 it is one."""
    for number in (1, 2, 12):
        picture(tmp_path / "new" / f"patient_{number:04}.png")
    spec = make_spec(1, **FLAT)
    assert ids(tmp_path / "new", spec) == [
        "patient_0001", "patient_0002", "patient_0012",
    ]  # fmt: skip
    with pytest.raises(DataError, match="lacks the channel 0000"):
        ids(tmp_path / "new", make_spec(1, channels=["a", "b"], **FLAT))
    for name in ("x_0000", "y_0000"):
        picture(tmp_path / "raw" / f"{name}.png")
    assert ids(tmp_path / "raw", spec) == ["x", "y"]


def test_a_dicom_file_is_an_image_and_no_volume(tmp_path, make_spec):
    series = Series(tmp_path / "scan")
    folder = tmp_path / "new"
    folder.mkdir()
    pydicom.dcmwrite(folder / "x.dcm", series.slice(9), enforce_file_format=True)
    dataset, (ref,) = open_folder(folder, make_spec(1, **FLAT))
    assert ref.case_id == "x"
    assert read_case(dataset, ref).image.shape == (1, 52, 60)
    with pytest.raises(DataError, match="one folder for each DICOM series"):
        open_folder(folder, make_spec(1))


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1)])
def test_an_image_in_a_nifti_file_has_its_mask_in_one(tmp_path, shape):
    affine = np.diag([0.5, 0.8, 2.0, 1.0])
    image = nib.Nifti1Image(np.ones(shape, np.float32), affine)
    image.set_sform(affine, 2)
    nib.save(image, tmp_path / "image.nii.gz")
    stored = read_file(tmp_path / "image.nii.gz", "image")
    label = np.arange(63, dtype=np.uint8).reshape(9, 7)
    path = save_labels(
        tmp_path, "mask", label, stored.affine, tmp_path / "image.nii.gz"
    )
    mask = nib.load(path)
    assert mask.shape == (9, 7, 1)
    np.testing.assert_array_equal(np.asarray(mask.dataobj)[..., 0], label)
    np.testing.assert_allclose(mask.affine, image.affine)
