"""Image files that are damaged or not what a task needs: one sentence each."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from harness.schema.errors import DataError
from harness.volumes.files import read_file
from harness.volumes.formats import list_cases, open_dataset, read_case

from .ellipsoid import Series, lesion, write_itk, write_nifti


@pytest.fixture
def series(tmp_path) -> Series:
    return Series(tmp_path / "scan")


def fault(path, name="scan") -> str:
    with pytest.raises(DataError) as caught:
        read_file(path, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_slice(series):
    series.path(7).unlink()
    assert fault(series.folder).startswith(
        f"scan: 1 slice is missing, the first after {series.path(8).name}"
    )
    series.path(12).unlink()
    series.path(11).unlink()
    assert "scan: 3 slices are missing" in fault(series.folder)


def test_slices_at_uneven_places(series):
    series.write(7, ImagePositionPatient=[*series.position(7)[:2], -1.5])
    assert "its slices lie" in fault(series.folder)
    series.write(7, ImagePositionPatient=[*series.position(8)])
    assert "lie at the same place" in fault(series.folder)


def test_mixed_spacings_and_sizes(series):
    series.write(3, PixelSpacing=[1.1, 0.9])
    assert (
        "scan: its slices have different pixel spacings: (1.1, 0.8) and (1.1, 0.9)"
        in (fault(series.folder))
    )
    series.write(3, Rows=10, PixelData=b"\0" * (2 * 10 * series.shape[0]))
    assert "different sizes" in fault(series.folder)
    series.write(3, ImageOrientationPatient=[0, 1, 0, 1, 0, 0])
    assert "different orientations" in fault(series.folder)


def test_a_tilted_gantry(series):
    for number in range(series.shape[2]):
        x, y, z = series.position(number)
        series.write(number, ImagePositionPatient=[x, y + 0.3 * number, z])
    assert "the gantry was tilted, each slice is shifted by 0.3 mm" in fault(
        series.folder
    )


def test_a_truncated_slice(series):
    path = series.path(5)
    content = path.read_bytes()
    path.write_bytes(content[:-500])
    assert fault(series.folder).startswith(f"scan/{path.name}: ")
    assert "truncated" in fault(series.folder)
    path.write_bytes(content[:300])
    assert fault(series.folder).startswith(f"scan/{path.name}: ")


def test_two_series_in_a_folder_and_none(series, tmp_path):
    series.write(5, SeriesInstanceUID="1.2.3")
    assert "scan: holds 2 series" in fault(series.folder)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    assert fault(tmp_path / "empty") == "scan: holds no DICOM images"


def test_what_lies_beside_a_series_does_not_matter(series):
    whole = read_file(series.folder, "scan")
    (series.folder / "README.txt").write_text("by hand")
    again = read_file(series.folder, "scan")
    np.testing.assert_array_equal(whole.voxels, again.voxels)


def test_simpleitk_reads_the_same_series(series):
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series.folder)))
    other = reader.Execute()
    own = read_file(series.folder, "scan")
    array = SimpleITK.GetArrayFromImage(other).transpose(2, 1, 0)
    np.testing.assert_array_equal(own.voxels, array)
    place = np.array(other.TransformIndexToPhysicalPoint((3, 4, 5)))
    assert (own.affine @ [3, 4, 5, 1])[:3] == pytest.approx(place * [-1, -1, 1])


def test_a_compressed_series_has_the_same_values(series):
    plain = read_file(series.folder, "scan").voxels
    for number in range(series.shape[2]):
        one = pydicom.dcmread(series.path(number))
        one.compress(pydicom.uid.RLELossless)
        one.save_as(series.path(number))
    np.testing.assert_array_equal(read_file(series.folder, "scan").voxels, plain)


def test_an_inverted_series_is_turned_as_one_volume(series):
    want = read_file(series.folder, "scan").voxels
    for number in range(series.shape[2]):
        series.write(number, PhotometricInterpretation="MONOCHROME1")
    found = read_file(series.folder, "scan").voxels
    np.testing.assert_array_equal(found, want.max() + want.min() - want)


def test_a_file_of_several_frames_in_a_folder(series):
    series.write(3, NumberOfFrames=2)
    assert fault(series.folder).startswith(
        f"scan/{series.path(3).name}: holds several frames; convert it to NIfTI"
    )


def test_one_dicom_file_is_an_image_with_bright_bone(series, tmp_path):
    one = series.slice(9)
    one.PhotometricInterpretation = "MONOCHROME1"
    pydicom.dcmwrite(tmp_path / "x.dcm", one, enforce_file_format=True)
    stored = read_file(tmp_path / "x.dcm", "x.dcm")
    assert stored.voxels.shape == (52, 60)
    assert np.diag(stored.affine)[:2].tolist() == [1.1, 0.8]
    inside = series.label[:, :, 9].T == 1
    assert set(np.unique(stored.voxels[inside])) == {-50}
    assert set(np.unique(stored.voxels[~inside])) == {100}


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_truncated_itk_files(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_itk(path, np.random.default_rng(0).normal(size=(12, 11, 10)))
    path.write_bytes(path.read_bytes()[:-4000])
    assert fault(path, path.name).startswith(f"{path.name}: the file is truncated")
    path.write_bytes(b"nothing")
    assert str(tmp_path) not in fault(path, path.name)


def test_a_series_of_volumes_in_one_file(tmp_path):
    image = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 5)), isVector=False)
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert fault(tmp_path / "a.nrrd", "a.nrrd") == (
        "a.nrrd: has 4 dimensions; store one volume per file"
    )


def picture(mode, **options) -> bytes:
    rng = np.random.default_rng(1)
    colour = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    image = colour.convert(mode) if mode != "I;16" else Image.fromarray(
        rng.integers(0, 60000, (9, 7)).astype(np.uint16)
    )  # fmt: skip
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "shape"),
    [
        ("L", "png", (9, 7)), ("1", "png", (9, 7)), ("I;16", "png", (9, 7)),
        ("RGB", "png", (9, 7, 3)), ("RGBA", "png", (9, 7, 3)), ("LA", "png", (9, 7)),
        ("P", "png", (9, 7, 3)), ("RGB", "jpeg", (9, 7, 3)), ("L", "jpeg", (9, 7)),
        ("CMYK", "jpeg", (9, 7, 3)), ("RGB", "tiff", (9, 7, 3)), ("L", "bmp", (9, 7)),
    ],
)  # fmt: skip
def test_pictures_have_rows_and_columns(tmp_path, mode, kind, shape):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(picture(mode, format=kind))
    assert read_file(path, "a").voxels.shape == shape


def test_sixteen_bits_stay(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(picture("I;16", format="png"))
    assert read_file(path, "a").voxels.max() > 50_000


def test_broken_pictures(tmp_path):
    path = tmp_path / "a.png"
    whole = picture("RGB", format="png")
    path.write_bytes(whole[:100])
    assert fault(path, "a.png").startswith(
        "a.png: not a readable picture, it may be trunc"
    )
    path.write_bytes(b"GIF?")
    assert fault(path, "a.png").startswith("a.png: not a readable picture")
    assert str(tmp_path) not in fault(path, "a.png")
    faint = Image.new("RGBA", (4, 4), (1, 2, 3, 200))
    faint.save(path)
    assert fault(path, "a.png") == "a.png: is transparent in places; flatten it"
    many = [Image.new("L", (4, 4), n) for n in range(3)]
    many[0].save(tmp_path / "a.tiff", save_all=True, append_images=many[1:])
    assert "a.tiff: holds 3 pictures" in fault(tmp_path / "a.tiff", "a.tiff")


def test_unknown_and_missing_files(tmp_path):
    (tmp_path / "a.docx").write_text("scan")
    assert "no reader for this kind of file" in fault(tmp_path / "a.docx", "a.docx")
    assert fault(tmp_path / "b.nii", "b.nii") == "b.nii: the file is listed but missing"


# -- what a case needs of its files ------------------------------------------------------


def case(tmp_path, make_spec, **changes):
    names = changes.pop("images", ("scan",))
    columns = changes.pop("columns", {})
    cells = ",".join(f"{name}.mha" for name in names)
    (tmp_path / "cases.csv").write_text(f"{','.join(names)},label\n{cells},mask.mha\n")
    made = {"kind": "csv", "folder": tmp_path.name,
            "columns": {"image": names, **columns}}  # fmt: skip
    spec = make_spec(1, **{"structures": {"lesion": 1}, "format": made, **changes})
    dataset = open_dataset("made", spec, [tmp_path.parent])
    return read_case(dataset, list_cases(dataset)[0])


def test_labels_and_channels_that_do_not_fit_the_image(tmp_path, make_spec):
    image, label = lesion()
    write_itk(tmp_path / "scan.mha", image)
    flat = SimpleITK.GetImageFromArray(label[:, :, 20])
    SimpleITK.WriteImage(flat, str(tmp_path / "mask.mha"))
    with pytest.raises(DataError, match=r"mask.mha: the label has 2 dimensions .*scan"):
        case(tmp_path, make_spec)
    write_itk(tmp_path / "mask.mha", label)
    write_itk(tmp_path / "other.mha", image[:-1])
    both = {"images": ("scan", "other"), "channels": ["a", "b"]}
    with pytest.raises(
        DataError, match=r"other.mha: its shape .* resample the channel"
    ):
        case(tmp_path, make_spec, **both)
    write_itk(tmp_path / "other.mha", image)
    assert case(tmp_path, make_spec, **both).image.shape[0] == 2
    with pytest.raises(DataError, match="has 2 channels, but the task declares 3"):
        case(tmp_path, make_spec, **{**both, "channels": ["a", "b", "c"]})


def test_a_mask_whose_axes_run_the_other_way_is_turned(tmp_path, make_spec):
    image, label = lesion()
    write_itk(tmp_path / "scan.mha", image)
    write_itk(tmp_path / "mask.mha", label)
    straight = case(tmp_path, make_spec)
    from .ellipsoid import AFFINE

    turned = AFFINE.copy()
    turned[:3, 3] += AFFINE[:3, 0] * (label.shape[0] - 1)
    turned[:3, 0] *= -1
    swapped = turned[:, [1, 0, 2, 3]]
    write_itk(tmp_path / "mask.mha", label[::-1].swapaxes(0, 1), swapped)
    np.testing.assert_array_equal(case(tmp_path, make_spec).label, straight.label)


def test_labels_that_scaling_moved_a_little_are_whole(tmp_path, make_spec):
    image, label = lesion()
    write_itk(tmp_path / "scan.mha", image)
    write_itk(tmp_path / "mask.mha", label * np.float32(0.999_999))
    np.testing.assert_array_equal(case(tmp_path, make_spec).label, label)
    write_itk(tmp_path / "mask.mha", label * np.float32(0.99))
    with pytest.raises(DataError, match=r"the label has the value 0\.99, but"):
        case(tmp_path, make_spec)


def test_values_of_label_files_may_be_others_than_the_tasks(tmp_path, make_spec):
    image, label = lesion()
    write_nifti(tmp_path / "scan.nii", image)
    write_nifti(tmp_path / "mask.nii", label * 255)
    (tmp_path / "cases.csv").write_text("image,label\nscan.nii,mask.nii\n")
    made = {"kind": "csv", "folder": tmp_path.name, "relabel": {255: 1}}
    spec = make_spec(1, structures={"lesion": 1}, format=made)
    dataset = open_dataset("made", spec, [tmp_path.parent])
    raw = read_case(dataset, list_cases(dataset)[0])
    np.testing.assert_array_equal(raw.label, label)
