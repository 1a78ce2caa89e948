"""Files as other software writes them, odd or broken: read rightly or refused."""

from __future__ import annotations

from copy import deepcopy

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.sequence import Sequence

from harness.schema.errors import DataError
from harness.volumes.files import read_file
from harness.volumes.files.drawn import read_drawn
from harness.volumes.formats import read_case

from .ellipsoid import VOLUME, Series
from .listed import CSV, fault, listed
from .test_drawn import rings, write_rtstruct, write_seg


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Series:
    """A series that no test changes."""
    return Series(tmp_path_factory.mktemp("whole") / "scan")


def refused(path, name="scan") -> str:
    with pytest.raises(DataError) as caught:
        read_file(path, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("slice_", "kept"), [(0, 0), (21, 100)])
def test_a_slice_that_lost_even_its_beginning(tmp_path, slice_, kept):
    # At an end of the series no gap would tell.
    series = Series(tmp_path / "scan")
    path = series.path(slice_)
    path.write_bytes(path.read_bytes()[:kept])
    assert refused(series.folder).startswith(f"scan/{path.name}: is no DICOM file")


def test_slices_without_an_ending_and_what_lies_beside(tmp_path):
    series = Series(tmp_path / "scan")
    whole = read_file(series.folder, "scan")
    for path in list(series.folder.iterdir()):
        path.rename(path.with_suffix(""))
    for name in ("LICENSE", "._IM0003", "notes.txt"):
        (series.folder / name).write_text("x")
    np.testing.assert_array_equal(read_file(series.folder, "s").voxels, whole.voxels)
    one = series.folder / "IM0007"
    assert read_file(one, "one").voxels.shape == (52, 60)
    one.write_bytes(b"")
    assert refused(series.folder).startswith("scan/IM0007: is no DICOM file")


@pytest.mark.parametrize("lengths", [[1.1, 0.8, 2.0], [0, 0]])
def test_a_pixel_spacing_that_is_none(tmp_path, lengths):
    series = Series(tmp_path / "scan")
    for number in range(series.shape[2]):
        series.write(number, PixelSpacing=lengths)
    assert "is not two lengths in mm" in refused(series.folder)


def drawn(tmp_path, series, change=None, shift=(0, 0, 0)):
    """Return mm^3 of an RTSTRUCT with two structures of one name, changed."""
    outlines = [points + shift for points in rings(series, 1.0)]
    rois = {"gtv": outlines[::2], "gtv2": outlines[1::2]}
    write_rtstruct(tmp_path / "rt.dcm", series, rois)
    one = pydicom.dcmread(tmp_path / "rt.dcm")
    for roi in one.StructureSetROISequence:
        roi.ROIName = "gtv"
    if change is not None:
        change(one)
    pydicom.dcmwrite(tmp_path / "rt.dcm", one, enforce_file_format=True)
    label = read_drawn(
        tmp_path / "rt.dcm", "rt.dcm", series.shape, series.affine, {"gtv": 1}
    )
    return label.sum() * abs(np.linalg.det(series.affine[:3, :3]))


def kinds(one, kind):
    for roi in one.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourGeometricType = kind


def test_structures_of_one_name_are_one(tmp_path, whole):
    assert drawn(tmp_path, whole) == pytest.approx(VOLUME, rel=0.015)


def test_contours_that_are_to_be_combined_by_xor(tmp_path, whole):
    def hole(one):
        for roi in one.ROIContourSequence:
            inner = list(deepcopy(roi.ContourSequence))
            for contour in inner:
                points = np.reshape(np.asarray(contour.ContourData, float), (-1, 3))
                centre = points.mean(0)
                points = centre + (points - centre) * 0.5
                contour.ContourData = [f"{mm:.4f}" for mm in points.ravel()]
            roi.ContourSequence = Sequence([*roi.ContourSequence, *inner])
        kinds(one, "CLOSEDPLANAR_XOR")

    assert drawn(tmp_path, whole, hole) == pytest.approx(0.75 * VOLUME, rel=0.02)


def lose(name):
    def change(one):
        for roi in one.ROIContourSequence:
            for contour in roi.ContourSequence:
                delattr(contour, name)

    return change


def cut(one):
    contour = one.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = contour.ContourData[:7]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"change": lambda one: kinds(one, "POINT")}, "is drawn as POINT alone"),
        ({"change": lose("ContourData")}, "rt.dcm: cannot be read, it may be damaged"),
        ({"change": cut}, "rt.dcm: cannot be read, it may be damaged"),
        ({"shift": (0, 0, 1.0)}, "lies between two slices of the image"),
        ({"shift": (400.0, 0, 0)}, "a contour lies outside of the image"),
    ],
)
def test_contours_that_do_not_fit_are_not_passed_over(tmp_path, whole, changes, said):
    with pytest.raises(DataError, match=said):
        drawn(tmp_path, whole, **changes)


def test_segments_of_one_label_are_one_and_others_may_overlap(tmp_path, whole):
    pytest.importorskip("highdicom")
    series = whole
    masks = np.stack([series.label] * 3, -1)
    masks[:30, ..., 0] = masks[33:, ..., 1] = masks[..., 11:, 2] = 0
    write_seg(tmp_path / "seg.dcm", series, masks, ["gtv", "gtv", "core"])

    def label(segments):
        path = tmp_path / "seg.dcm"
        return read_drawn(path, "s", series.shape, series.affine, segments)

    np.testing.assert_array_equal(label({"gtv": 1}), series.label)
    both = label({"gtv": 1, "core": 2})
    np.testing.assert_array_equal(both, series.label + masks[..., 2])
    one = pydicom.dcmread(tmp_path / "seg.dcm")
    del one.SharedFunctionalGroupsSequence
    pydicom.dcmwrite(tmp_path / "seg.dcm", one, enforce_file_format=True)
    with pytest.raises(DataError, match="cannot be read, it may be damaged"):
        label({"gtv": 1})


@pytest.mark.parametrize("ending", ["nii", "nrrd"])
def test_axes_that_are_sheared(tmp_path, make_spec, ending):
    (tmp_path / "made").mkdir()
    sheared = np.eye(4)
    sheared[0, 2] = 0.1
    voxels = np.zeros((6, 5, 4), np.uint8)
    voxels[2] = 1
    if ending == "nii":
        nib.save(nib.Nifti1Image(voxels, sheared), tmp_path / "made" / "a.nii")
    else:
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetDirection(sheared[:3, :3].ravel().tolist())
        SimpleITK.WriteImage(image, tmp_path / "made" / "a.nrrd")
    (tmp_path / "made" / "cases.csv").write_text(
        f"image,label\na.{ending},a.{ending}\n"
    )
    dataset, cases = listed(tmp_path, make_spec(1, format=CSV, structures={"x": 1}))
    with pytest.raises(
        DataError, match=f"a.{ending}: its axes are not at right angles"
    ):
        read_case(dataset, cases[0])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_colour_stay(tmp_path, ending):
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    path = tmp_path / f"a.{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels, isVector=True), path)
    np.testing.assert_array_equal(read_file(path, "a").voxels, pixels)
    clear = np.concatenate([pixels, np.full((5, 7, 1), 65535, np.uint16)], 2)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(clear, isVector=True), path)
    np.testing.assert_array_equal(read_file(path, "a").voxels, pixels)
    clear[0, 0, 3] = 9
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(clear, isVector=True), path)
    assert refused(path, "a") == "a: is transparent in places; flatten it"
    path.write_bytes(path.read_bytes()[:-60])
    assert "it may be" in refused(path, "a")


def test_why_an_itk_file_is_not_whole(tmp_path):
    path = tmp_path / "a.nrrd"
    noise = np.random.default_rng(0).normal(size=(9, 9, 9))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise), path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "it may be truncated ([nrrd]" in refused(path)


@pytest.mark.parametrize("ending", ["mhd", "nhdr"])
def test_voxels_in_a_file_of_their_own_are_stamped_and_missed(
    tmp_path, make_spec, ending
):
    made = tmp_path / "made"
    made.mkdir()
    path = made / f"a.{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((4, 5, 6), "u1")), path)
    (made / "cases.csv").write_text(f"image,label\n{path.name},{path.name}\n")
    spec = make_spec(1, format=CSV, structures={"x": 1})
    before = listed(tmp_path, spec)[1][0].stamp
    voxels = next(each for each in made.iterdir() if "raw" in each.name)
    voxels.write_bytes(voxels.read_bytes()[:-1] + b"2")
    assert listed(tmp_path, spec)[1][0].stamp != before
    voxels.unlink()
    said = f"{path.name}: {voxels.name}, which holds its voxels, is missing"
    assert said in fault(tmp_path, spec)


@pytest.mark.parametrize("ending", ["mha", "mhd", "nrrd", "nhdr"])
def test_flipped_bits_of_compressed_voxels_are_found(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    values = np.random.default_rng(0).integers(0, 50, (9, 9, 9), np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), path, True)
    np.testing.assert_array_equal(read_file(path, "a").voxels.T, values)
    packed = next((each for each in tmp_path.iterdir() if each != path), path)
    whole = packed.read_bytes()
    for at in range(400, len(whole) - 12, 97):
        packed.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        assert "a: " in refused(path, "a")
    packed.write_bytes(whole[:-40])
    assert refused(path, "a") == "a: the file is truncated; copy or download it again"


def test_names_that_do_not_say_how_a_nifti_file_is_packed(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    nib.save(image, tmp_path / "a.nii")
    nib.save(image, tmp_path / "b.nii.gz")
    (tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").rename(tmp_path / "b.nii")
    assert refused(tmp_path / "a.nii.gz", "a").startswith("a: is not gzipped, though")
    assert refused(tmp_path / "b.nii", "b") == "b: is gzipped: rename it to .nii.gz"
    (tmp_path / "b.nii").write_bytes(b"")
    assert refused(tmp_path / "b.nii", "b").startswith("b: the file is empty")
