"""Each format with turned axes and uneven spacing: place and volume are recovered."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.volumes.formats import list_cases, open_dataset, read_case
from harness.volumes.preprocess import prepare

from .ellipsoid import CENTRE, VOLUME, Series, lesion, measured, write_itk, write_nifti


def write_msd(root):
    image, label = lesion()
    write_nifti(root / "imagesTr" / "a.nii.gz", image)
    write_nifti(root / "labelsTr" / "a.nii.gz", label)
    entry = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    (root / "dataset.json").write_text(json.dumps({"training": [entry]}))
    return {"kind": "msd"}


def write_nnunet(root):
    image, label = lesion()
    write_itk(root / "imagesTr" / "a_0000.nrrd", image)
    write_itk(root / "labelsTr" / "a.nrrd", label)
    about = {"channel_names": {"0": "CT"}, "labels": {}, "file_ending": ".nrrd"}
    (root / "dataset.json").write_text(json.dumps(about))
    return {"kind": "nnunet"}


def write_csv(ending):
    def write(root):
        image, label = lesion()
        writer = write_nifti if ending == ".nii" else write_itk
        writer(root / f"scan{ending}", image)
        writer(root / f"mask{ending}", label)
        table = f"image,label\nscan{ending},mask{ending}\n"
        (root / "cases.csv").write_text(table)
        return {"kind": "csv"}

    return write


def write_series(root):
    series = Series(root / "scan")
    write_itk(root / "mask.mha", series.label, series.affine)
    (root / "cases.csv").write_text("image,label\nscan,mask.mha\n")
    return {"kind": "csv"}


@pytest.mark.parametrize(
    "write",
    [write_msd, write_nnunet, write_series]
    + [write_csv(ending) for ending in (".nii", ".nrrd", ".mha", ".mhd")],
    ids=["msd", "nnunet", "dicom", "nifti", "nrrd", "mha", "mhd"],
)
def test_place_and_volume_of_a_lesion(tmp_path, make_spec, write):
    written = write(tmp_path / "made") if (tmp_path / "made").mkdir() is None else None
    spec = make_spec(
        1, format={**written, "folder": "made"}, structures={"lesion": 1},
        preprocess={"spacing": [1.5, 1.5, 1.5],
                    "intensity": {"kind": "window", "low": -50, "high": 100}},
    )  # fmt: skip
    dataset = open_dataset("made", spec, [tmp_path])
    (ref,) = list_cases(dataset)
    raw = read_case(dataset, ref)
    volume, centre = measured(raw)
    assert volume == pytest.approx(VOLUME, rel=0.01)
    assert centre == pytest.approx(CENTRE, abs=0.1)
    # image and label agree voxel by voxel, in HU
    np.testing.assert_array_equal(raw.image[0] > 0, raw.label == 1)
    assert set(np.unique(raw.image)) == {-50, 100}
    # what the cache stores is canonical: index 0 rises to the right, and so on
    ready = prepare(raw, spec.preprocess, ref.case_id)
    assert (ready.label == 1).sum() * 1.5**3 == pytest.approx(VOLUME, rel=0.02)
    middle = (np.array(ready.grid.shape) - 1) / 2
    extent = np.array(raw.image.shape[1:])
    box = raw.affine[:3] @ [*(extent - 1) / 2, 1]  # the centre of both grids
    place = (np.argwhere(ready.label == 1).mean(0) - middle) * 1.5 + box
    assert place == pytest.approx(CENTRE, abs=0.15)
