"""Organ crops: the organ is in the middle, patients stay on one side, voxels stay."""

import numpy as np
import pytest

from harness.schema.cases import CaseRef
from harness.volumes.raw import RawCase
from tasks import phantom_organ_crops as crops
from tasks import phantom_organs


def of(patient, organ):
    return CaseRef(f"{patient}_{organ}", patient)


def test_each_patient_has_every_organ_on_one_side():
    listed = crops.cases(0, train=2, val=1, test=3)
    assert len(listed) == 6 * len(crops.ORGANS)
    by_patient = {}
    for case in listed:
        by_patient.setdefault(case.group_id, []).append(case)
        assert case.case_id == f"{case.group_id}_{crops.ORGANS[case.target]}"
    for cases in by_patient.values():
        assert {case.side for case in cases} == {cases[0].side}
        assert [case.target for case in cases] == list(range(len(crops.ORGANS)))
    sides = [cases[0].side for cases in by_patient.values()]
    assert sides == ["train"] * 2 + ["val"] + ["test"] * 3


def test_patients_are_others_than_those_of_phantom_organs():
    ours = {case.group_id for case in crops.cases(0)}
    theirs = {case.group_id for case in phantom_organs.cases(0)}
    assert not ours & theirs


@pytest.mark.parametrize("organ", ["liver", "kidney_left", "gallbladder", "aorta"])
def test_the_organ_is_in_the_middle(organ, monkeypatch):
    """The same cut of the label map has the organ's centre within the jitter."""
    body = phantom_organs.make(CaseRef("body_0001", "body_0001"), 0)
    value = crops.ORGANS.index(organ) + 1
    mask = (body.label == value).astype(np.float32)
    monkeypatch.setattr(
        phantom_organs, "make",
        lambda *_: RawCase(mask[None] + crops.AIR, body.label, body.affine),
    )  # fmt: skip
    crops._body.cache_clear()
    cut = crops.make(of("body_0001", organ), 0).image[0] - crops.AIR
    crops._body.cache_clear()
    assert cut.shape == crops.SIDES
    # All of a compact organ is inside; of the long ones and the liver a part.
    inside = cut.sum() / mask.sum()
    assert inside == 1 if organ in ("kidney_left", "gallbladder") else inside > 0.3
    if inside == 1:
        centre = np.argwhere(cut > 0.5).mean(axis=0)
        assert (abs(centre - np.array(crops.SIDES) // 2) <= crops.JITTER + 0.5).all()


def test_places_in_the_body_are_kept():
    """The cut's affine leads back to the voxels of the whole body."""
    case = of("body_0002", "spleen")
    whole = phantom_organs.make(CaseRef("body_0002", "body_0002"), 0)
    cut = crops.make(case, 0)
    voxel = np.array([20, 17, 12, 1])
    there = np.linalg.inv(whole.affine) @ cut.affine @ voxel
    at = tuple(there[:3].round().astype(int))
    assert cut.image[0][20, 17, 12] == whole.image[0][at]


def test_voxels_have_not_changed_without_a_new_version():
    """If this fails on purpose, raise VERSION and write the new figures here."""
    assert crops.VERSION == 1
    image = crops.make(of("body_0000", "stomach"), 0).image
    assert image.shape == (1, 38, 38, 30)
    assert image.mean() == pytest.approx(-296.82, abs=0.3)
