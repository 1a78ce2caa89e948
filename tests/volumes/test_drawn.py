"""RTSTRUCT contours and DICOM segmentations as masks on the image's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path as Outline
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from harness.schema.errors import DataError
from harness.volumes.files.contours import fill
from harness.volumes.files.drawn import is_drawn, read_drawn
from harness.volumes.formats import list_cases, open_dataset, read_case

from .ellipsoid import CENTRE, RADII, VOLUME, Series, measured


def star(rng, points=9):
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radii = rng.uniform(3, 14, points)
    return np.stack([16 + radii * np.cos(angles), 15 + radii * np.sin(angles)], 1)


def test_centres_inside_polygons_as_matplotlib_finds_them():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(30), indexing="ij"), -1)
    for _ in range(40):
        polygon = star(rng)
        closed = Outline(np.vstack([polygon, polygon[:1]]), closed=True)
        inside = closed.contains_points(grid.reshape(-1, 2)).reshape(32, 30)
        np.testing.assert_array_equal(fill(polygon, (32, 30)), inside)


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out():
    corners = np.array([[2.0, 2], [2, 9], [9, 9], [9, 2]])
    whole = fill(corners, (12, 12))
    halves = [fill(corners[:3], (12, 12)), fill(corners[[0, 2, 3]], (12, 12))]
    assert whole.sum() == 49
    np.testing.assert_array_equal(halves[0] ^ halves[1], whole)
    assert not (halves[0] & halves[1]).any()


def test_a_polygon_may_leave_the_image():
    square = np.array([[-5.0, -5], [-5, 3.5], [2.5, 3.5], [2.5, -5]])
    mask = fill(square, (8, 6))
    assert mask[:3, :4].all()
    assert mask.sum() == 12
    assert fill(square - 20, (8, 6)).sum() == 0


def ring(series, layer, scale):
    """The ellipsoid's outline in a slice, scaled, as DICOM points (L, P, S)."""
    z = (series.affine @ [0, 0, layer, 1])[2]
    room = 1 - ((z - CENTRE[2]) / (RADII[2] * scale)) ** 2
    if room <= 0:
        return None
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radii = RADII[:2] * scale * np.sqrt(room)
    points = CENTRE[:2] + radii * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([points * -1, np.full((180, 1), z)], 1)


def write_rtstruct(path: Path, series: Series, rois) -> None:
    """rois: {name: [points (n, 3), ...]}."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = Dataset()
    one.file_meta = meta
    one.SOPClassUID, one.SOPInstanceUID = (
        RTStructureSetStorage, meta.MediaStorageSOPInstanceUID,
    )  # fmt: skip
    one.Modality = "RTSTRUCT"
    one.StructureSetROISequence, one.ROIContourSequence = Sequence(), Sequence()
    for number, (name, polygons) in enumerate(rois.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = series.frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, Sequence()
        for points in polygons:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{mm:.4f}" for mm in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        one.StructureSetROISequence.append(roi)
        one.ROIContourSequence.append(drawn)
    pydicom.dcmwrite(path, one, enforce_file_format=True)


def rings(series, scale):
    found = (ring(series, layer, scale) for layer in range(series.shape[2]))
    return [each for each in found if each is not None]


@pytest.fixture
def series(tmp_path) -> Series:
    return Series(tmp_path / "made" / "scan")


def opened(tmp_path, make_spec, segments, label="rt.dcm", structures=None):
    (tmp_path / "made" / "cases.csv").write_text(f"image,label\nscan,{label}\n")
    made = {"kind": "csv", "folder": "made", "segments": segments}
    spec = make_spec(1, format=made, structures=structures or {"lesion": 1})
    dataset = open_dataset("made", spec, [tmp_path])
    return read_case(dataset, list_cases(dataset)[0])


def test_contours_with_a_hole_have_the_volume_that_was_drawn(
    tmp_path, make_spec, series
):
    shell = rings(series, 1.0) + rings(series, 0.5)
    write_rtstruct(
        tmp_path / "made" / "rt.dcm", series, {"GTV-1": shell, "Body": rings(series, 2)}
    )
    raw = opened(tmp_path, make_spec, {"gtv*": 1})
    volume, centre = measured(raw)
    assert volume == pytest.approx(VOLUME * (1 - 0.5**3), rel=0.015)
    assert centre == pytest.approx(CENTRE, abs=0.15)
    middle = np.rint(np.linalg.inv(raw.affine) @ [*CENTRE, 1]).astype(int)[:3]
    assert raw.label[tuple(middle)] == 0
    # a voxel is inside where its centre is: as the series' own mask says
    solid = raw.label.copy()
    inner = (series.label == 1) & (raw.label[:, :, ::-1] == 0)
    solid[:, :, ::-1][inner] = 1
    np.testing.assert_array_equal(solid[:, :, ::-1], series.label)


def test_of_overlapping_structures_the_larger_value_wins(tmp_path, make_spec, series):
    rois = {"outer": rings(series, 1.0), "inner": rings(series, 0.5)}
    write_rtstruct(tmp_path / "made" / "rt.dcm", series, rois)
    both = {"outer": 1, "inner": 2}
    raw = opened(tmp_path, make_spec, both, structures={"rim": 1, "core": 2})
    other = opened(
        tmp_path, make_spec, {"inner": 1, "outer": 2}, structures={"a": 1, "b": 2}
    )
    assert set(np.unique(raw.label)) == {0, 1, 2}
    assert set(np.unique(other.label)) == {0, 2}


def test_segmentation_by_highdicom(tmp_path, make_spec, series):
    pytest.importorskip("highdicom")
    write_seg(tmp_path / "made" / "seg.dcm", series)
    assert is_drawn(tmp_path / "made" / "seg.dcm")
    raw = opened(tmp_path, make_spec, {"Lesion": 1}, label="seg.dcm")
    np.testing.assert_array_equal(raw.label[:, :, ::-1], series.label)
    volume, centre = measured(raw)
    assert volume == pytest.approx(VOLUME, rel=0.01)
    assert centre == pytest.approx(CENTRE, abs=0.1)


def write_seg(path: Path, series: Series, masks=None, labels=("Lesion",)) -> None:
    """masks: (columns, rows, slices, segments), which may overlap."""
    from highdicom.seg import (
        SegmentAlgorithmTypeValues,
        Segmentation,
        SegmentationTypeValues,
        SegmentDescription,
    )
    from pydicom.sr.codedict import codes

    slices = [pydicom.dcmread(series.path(n)) for n in range(series.shape[2])]
    described = [
        SegmentDescription(
            segment_number=number, segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, start=1)
    ]  # fmt: skip
    masks = series.label[..., None] if masks is None else masks
    seg = Segmentation(
        source_images=slices, pixel_array=masks.transpose(2, 1, 0, 3),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=described, series_instance_uid=generate_uid(),
        series_number=2, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="none", manufacturer_model_name="none", software_versions="1",
        device_serial_number="1",
    )  # fmt: skip
    seg.save_as(path)


def test_what_cannot_be_drawn_is_one_sentence(tmp_path, make_spec, series):
    path = tmp_path / "made" / "rt.dcm"
    drawn = rings(series, 1.0)
    write_rtstruct(path, series, {"GTV-1": drawn, "Lung": drawn})
    for segments, said in [
        ({"GTV-2": 1}, "rt.dcm: has no 'GTV-2', but 'GTV-1', 'Lung'. Did you mean"),
        ({}, "say in the task's format which name is which value"),
    ]:
        with pytest.raises(DataError, match=said):
            opened(tmp_path, make_spec, segments)
    for move, said in [
        ([0, 0, 500], "GTV-1: a contour lies outside of the image"),
        (np.linspace(0, 9, len(drawn[0]))[:, None] * [0, 0, 1], "does not lie in a sl"),
    ]:
        write_rtstruct(path, series, {"GTV-1": [points + move for points in drawn]})
        with pytest.raises(DataError, match=said):
            opened(tmp_path, make_spec, {"GTV-1": 1})
    with pytest.raises(DataError, match="for volumes, not images"):
        read_drawn(path, "rt.dcm", (4, 4), np.eye(4), {"GTV-1": 1})


def test_a_segmentation_on_another_grid_is_refused(tmp_path, make_spec, series):
    pytest.importorskip("highdicom")
    path = tmp_path / "made" / "seg.dcm"
    write_seg(path, series)
    for shift, said in [(0.4, "on another grid"), (800, "reaches outside of the im")]:
        moved = pydicom.dcmread(path)
        for frame in moved.PerFrameFunctionalGroupsSequence:
            place = frame.PlanePositionSequence[0]
            x, y, z = place.ImagePositionPatient
            place.ImagePositionPatient = [x + shift, y, z]
        moved.save_as(tmp_path / "made" / "moved.dcm")
        with pytest.raises(DataError, match=said):
            opened(tmp_path, make_spec, {"Lesion": 1}, label="moved.dcm")
