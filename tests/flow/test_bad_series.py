"""DICOM series at fault: a sentence each before anything runs, nothing written."""

import nibabel as nib
import numpy as np
import pytest

from ..volumes.ellipsoid import Series
from .test_bad_input import RUN, refused

SCANS = """
title: Scans
kind: segmentation
modality: CT
format: {kind: csv, folder: series}
cases: 4
structures: {lesion: 1}
preprocess: {intensity: {kind: window, low: -60, high: 120}}
crop: {tiny: [16, 16, 16]}
split: {kind: counts, val: 1, test: 1}
metrics: [dice]
source: {page: "https://example.org/series", licence: CC0}
"""


class Small(Series):
    """A series of eight slices, so that a run over four of them is quick."""

    shape = (16, 14, 8)


@pytest.fixture
def scans(user, content):
    """Four series that run from the head down, their masks as NIfTI, a task."""
    folder = user.root / "data" / "series"
    rows = ["case,image,label"]
    found = []
    for number in range(4):
        series = Small(folder / f"s{number}")
        mask = nib.Nifti1Image(series.label, series.affine)
        nib.save(mask, folder / f"s{number}.nii.gz")
        rows.append(f"s{number},s{number},s{number}.nii.gz")
        found.append(series)
    (folder / "cases.csv").write_text("\n".join(rows))
    task = content / "tasks" / "scans.yaml"
    task.write_text(SCANS)
    user.write(tasks="[scans]")
    yield found
    task.unlink()


def truncate(series):
    path = series.path(5)
    path.write_bytes(path.read_bytes()[:-100])


def flat_label(series):
    path = series.folder.with_name(f"{series.folder.name}.nii.gz")
    nib.save(nib.Nifti1Image(series.label[:, :, 0], series.affine), path)


def four_axes(series):
    path = series.folder.with_name("long.nii.gz")
    voxels = np.stack([series.image, series.image], -1)
    nib.save(nib.Nifti1Image(voxels, series.affine), path)
    table = series.folder.with_name("cases.csv")
    text = table.read_text()
    table.write_text(text.replace("s2,s2,", "s2,long.nii.gz,"))


FAULTS = [
    (truncate, "s2/IM0003.dcm: its pixels cannot be read, it may be truncated"),
    (lambda series: series.path(3).unlink(),
     "s2: 1 slice is missing, the first after IM0004.dcm; copy or download"),
    (lambda series: series.write(3, PixelSpacing=[1.1, 0.9]),
     "s2: its slices have different pixel spacings: "),
    (lambda series: series.write(3, ImagePositionPatient=[*series.position(3.5)]),
     "mm apart; resample the series to one spacing"),
    (flat_label, "s2.nii.gz: the label has 2 dimensions (16, 14), but s2 has 3"),
    (four_axes, "long.nii.gz: has 4 dimensions (16, 14, 8, 2), but a 3-D task with 1"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), FAULTS)
def test_a_series_at_fault_is_one_sentence(user, scans, spoil, said):
    spoil(scans[2])
    (found,) = refused(user, *RUN)
    assert found.startswith(f"{scans[2].folder.parent}: ")
    assert said in found
    before = user.tree()
    code, out, err = user.harness("data", "check", "scans")
    assert (code, user.tree()) == (2, before), err
    fault, *_, last = out.splitlines()
    assert said in fault
    assert last == "scans: 4 cases read, 1 at fault"


def test_series_whose_axes_run_the_other_way_are_used_as_they_are(user, scans):
    code, out, err = user.harness("data", "check", "scans")
    assert code == 0, err
    assert "16 to 16, 14 to 14, 8 to 8" in out
    assert "mm per voxel along each axis of the files: 0.8 to 0.8, 1.1 to 1.1" in out
