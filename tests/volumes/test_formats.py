from __future__ import annotations

import gzip
import json
import os
import shutil
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from harness.schema.cases import CaseRef
from harness.schema.errors import DataError
from harness.volumes.formats import (
    RawCase,
    fingerprint,
    list_cases,
    open_dataset,
    read_case,
)


def only_case(dataset):
    (ref,) = list_cases(dataset)
    return read_case(dataset, ref)


def test_a_case_is_read_as_its_file_holds_it(folder, make_blob):
    image, label = make_blob((6, 5, 4), 1)
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    folder.write("a.nii.gz", image, label, affine)
    raw = only_case(folder.open(1))
    assert raw.image.shape == (1, 6, 5, 4)
    assert raw.image.dtype == np.float32
    assert raw.label.dtype == np.uint8
    np.testing.assert_array_equal(raw.image[0], image)
    np.testing.assert_array_equal(raw.label, label)
    np.testing.assert_allclose(raw.affine, affine)


def test_scaled_integers_and_float_labels_are_understood(folder, make_blob):
    _, label = make_blob((6, 5, 4), 1)
    folder.write("a.nii.gz", np.zeros((6, 5, 4), np.int16), label.astype(np.float32))
    scaled = nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(6, 5, 4), np.eye(4))
    scaled.header.set_slope_inter(0.5, -7)
    nib.save(scaled, folder.path / "imagesTr" / "a.nii.gz")
    raw = only_case(folder.open(1))
    stored = np.asarray(nib.load(folder.path / "imagesTr" / "a.nii.gz").dataobj)
    np.testing.assert_allclose(raw.image[0], stored, rtol=1e-6)
    np.testing.assert_array_equal(raw.label, label)


def test_several_channels_come_first(folder, make_blob):
    image, label = make_blob((6, 5, 4), 1)
    folder.write("a.nii.gz", np.stack([image, 2 * image], axis=3), label)
    raw = only_case(folder.open(1, channels=("t1", "flair")))
    assert raw.image.shape == (2, 6, 5, 4)
    np.testing.assert_array_equal(raw.image[1], 2 * image)


def test_missing_folder_names_every_place_and_the_remedy(make_spec, tmp_path):
    roots = [tmp_path / "one", tmp_path / "two"]
    with pytest.raises(DataError) as caught:
        open_dataset("blobs", make_spec(1), roots)
    message = str(caught.value)
    for root in roots:
        assert str(root / "Task99_Blobs") in message
    assert "http://example.org/blobs" in message
    assert "MEDSSL_DATA" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{'training': 1}", r"dataset.json:1: not valid JSON"),
        ("[]", "needs a list 'training'"),
        ('{"training": 3}', "needs a list 'training'"),
        ('{"training": [{"image": "a.nii.gz"}]}', "entry 1 of 'training' needs"),
        ('{"training": [7]}', "entry 1 of 'training' needs"),
        (
            '{"training": [{"image": "../a.nii", "label": "b.nii"}]}',
            r"\.\./a.nii lies outside",
        ),
    ],
)
def test_invalid_listing(folder, content, said):
    folder.fill(1)
    (folder.path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=said):
        list_cases(folder.open(1))


def test_missing_listing(folder):
    folder.path.mkdir(parents=True)
    with pytest.raises(DataError, match=r"dataset\.json is missing"):
        list_cases(folder.open(1))


def test_listed_but_missing_files_are_all_named(folder):
    folder.fill(3)
    (folder.path / "imagesTr" / "blob_001.nii.gz").unlink()
    (folder.path / "labelsTr" / "blob_002.nii.gz").unlink()
    with pytest.raises(DataError) as caught:
        list_cases(folder.open(3))
    assert "imagesTr/blob_001.nii.gz: listed in" in str(caught.value)
    assert "labelsTr/blob_002.nii.gz: listed in" in str(caught.value)


def test_fewer_cases_than_declared_need_allow_partial(folder):
    folder.fill(2)
    with pytest.raises(DataError, match=r"has 2 of the 5 cases .* allow_partial: true"):
        list_cases(folder.open(5))
    assert len(list_cases(folder.open(5, allow_partial=True))) == 2
    with pytest.raises(DataError, match="has 2 cases, more than the 1"):
        list_cases(folder.open(1))
    folder.list([])
    with pytest.raises(DataError, match="has 0 of the 5"):
        list_cases(folder.open(5, allow_partial=True))


def test_a_case_listed_twice(folder):
    folder.fill(1)
    folder.list(["blob_000.nii.gz"] * 2)
    with pytest.raises(DataError, match="lists case 'blob_000' more than once"):
        list_cases(folder.open(2))


def nan_image(image, label):
    image[1, 2, 3] = np.nan
    image[0, 0, 0] = np.inf
    return image, label


def wrong_value(image, label):
    label[0, 0, 0] = 7
    return image, label


def half_value(image, label):
    label = label.astype(np.float32)
    label[0, 0, 0] = 0.5
    return image, label


SPOILT = [
    (nan_image, "imagesTr/a.nii.gz: 2 voxels are NaN or infinite"),
    (
        wrong_value,
        r"labelsTr/a.nii.gz: the label has the value 7, .* classes are 0 to 2",
    ),
    (half_value, r"labelsTr/a.nii.gz: the label has the value 0.5"),
    (lambda i, t: (i, t - 1.0), r"the label has the value -1"),
    (lambda i, t: (i, t[:-1]), r"labelsTr/a.nii.gz: its shape \(5, 5, 4\) differs"),
    (lambda i, t: (np.stack([i, i], 3), t), "imagesTr/a.nii.gz: has 4 dimensions"),
    (lambda i, t: (i[0], t[0]), "imagesTr/a.nii.gz: has 2 dimensions"),
    (lambda i, t: (i + 1j, t), "values of type complex"),
    (lambda i, t: (i.astype(float) * 1e300, t), "voxels are NaN or infinite"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT)
def test_voxels_that_must_not_be_used(folder, make_blob, spoil, said):
    folder.write("a.nii.gz", *spoil(*make_blob((6, 5, 4), 1)))
    with pytest.raises(DataError, match=said):
        only_case(folder.open(1))


@pytest.mark.parametrize("shift", [0.05, 3.0])
def test_label_of_another_affine(folder, make_blob, shift):
    image, label = make_blob((6, 5, 4), 1)
    folder.write("a.nii.gz", image, label)
    moved = np.eye(4)
    moved[0, 3] = shift  # mm; a twentieth of a voxel is rounding, three voxels are not
    nib.save(nib.Nifti1Image(label, moved), folder.path / "labelsTr" / "a.nii.gz")
    if shift < 0.1:
        only_case(folder.open(1))
        return
    with pytest.raises(
        DataError, match=r"labelsTr/a.nii.gz: its affine differs .* by 3 mm"
    ):
        only_case(folder.open(1))


@pytest.mark.parametrize("kept", [0.5, 0.99, 0.0])
@pytest.mark.parametrize("kind", ["imagesTr", "labelsTr"])
def test_truncated_gzip(folder, kept, kind):
    folder.fill(1)
    path = folder.path / kind / "blob_000.nii.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=rf"{kind}/blob_000.nii.gz: .*truncated"):
        only_case(folder.open(1))


def test_a_flipped_bit_is_found_by_the_checksum(folder):
    folder.fill(1)
    path = folder.path / "imagesTr" / "blob_000.nii.gz"
    plain = bytearray(gzip.decompress(path.read_bytes()))
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    stored[-100] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match="not a readable NIfTI"):
        only_case(folder.open(1))


def test_a_file_that_is_no_nifti(folder):
    folder.fill(1)
    (folder.path / "imagesTr" / "blob_000.nii.gz").write_bytes(
        gzip.compress(b"hello" * 99)
    )
    with pytest.raises(DataError, match=r"blob_000.nii.gz: not a readable NIfTI"):
        only_case(folder.open(1))


def test_truncated_plain_nifti(folder, make_blob):
    folder.write("a.nii", *make_blob((6, 5, 4), 1))
    path = folder.path / "imagesTr" / "a.nii"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"imagesTr/a.nii: not a readable NIfTI"):
        only_case(folder.open(1))


def test_singular_affine(folder, make_blob):
    folder.write("a.nii.gz", *make_blob((6, 5, 4), 1))
    for kind in ("imagesTr", "labelsTr"):
        path = folder.path / kind / "a.nii.gz"
        image = nib.load(path)
        image = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header)
        image.header.set_sform(np.diag([1.0, 0, 1, 1]), code=1)
        content = image.to_bytes()
        path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"a.nii.gz: its affine is singular"):
        only_case(folder.open(1))


def test_fingerprint_follows_content_and_preprocessing_only(
    folder, tmp_path, make_spec
):
    folder.fill(2)

    def mark(root=folder.root, **changes):
        dataset = open_dataset("blobs", make_spec(2, **changes), [root])
        return fingerprint(dataset, list_cases(dataset))

    first = mark()
    assert len(first) == 64
    shutil.copytree(folder.root, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    assert mark(tmp_path / "elsewhere") == first
    assert mark(crop={"tiny": [4, 4, 4]}, metrics=["dice", "hd95"], title="x") == first
    dataset = folder.open(2)
    assert fingerprint(dataset, list_cases(dataset)[::-1]) == first
    window = {"intensity": {"kind": "window", "low": 0, "high": 1}}
    assert mark(preprocess=window) != first
    path = folder.path / "labelsTr" / "blob_001.nii.gz"
    label = np.asarray(nib.load(path).dataobj).copy()
    label[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(label, np.eye(4)), path)
    assert mark() != first


def test_the_stamp_of_an_uncompressed_file_sees_a_change_in_place(folder, make_blob):
    folder.write("a.nii", *make_blob((6, 5, 4), 1))
    path = folder.path / "labelsTr" / "a.nii"
    before = list_cases(folder.open(1))[0].stamp
    content = bytearray(path.read_bytes())
    content[-1] = 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert list_cases(folder.open(1))[0].stamp != before


# -- generated -----------------------------------------------------------------------


def generator(**functions) -> ModuleType:
    module = ModuleType("made")
    module.__file__ = "tasks/made.py"

    def cases(seed, n=2):
        return [CaseRef(f"g{k}", f"p{k}", side="train", stamp="1") for k in range(n)]

    def make(case, seed, n=2):
        rng = np.random.default_rng([seed, int(case.case_id[1:])])
        image = rng.normal(size=(1, 4, 5, 6)).astype(np.float32)
        return RawCase(image, (image[0] > 0).astype(np.uint8), np.eye(4))

    for name, function in ({"cases": cases, "make": make} | functions).items():
        setattr(module, name, function)
    return module


def made_spec(make_spec, **settings):
    made = {"kind": "generated", "generator": "made", "seed": 3, "settings": settings}
    return make_spec(2, format=made)


def test_generated_cases(make_spec):
    dataset = open_dataset("made", made_spec(make_spec, n=2), [], generator())
    refs = list_cases(dataset)
    assert [ref.case_id for ref in refs] == ["g0", "g1"]
    one, two = (read_case(dataset, refs[1]) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)
    other = open_dataset("made", made_spec(make_spec), [], generator())
    assert fingerprint(other, refs) != fingerprint(dataset, refs)


def test_generator_faults(make_spec):
    with pytest.raises(DataError, match=r"no module tasks/made.py was found"):
        open_dataset("made", made_spec(make_spec), [])
    with pytest.raises(
        DataError, match=r"cases of made.py refuses its settings.*'wide'"
    ):
        open_dataset("made", made_spec(make_spec, wide=1), [], generator())
    with pytest.raises(DataError, match=r"made.py has no function 'make'"):
        open_dataset("made", made_spec(make_spec), [], generator(make=None))


def test_generated_voxels_are_checked_too(make_spec):
    bad = RawCase(
        np.full((1, 2, 2, 2), np.nan, np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.eye(4),
    )

    def make(case, seed):
        return bad

    dataset = open_dataset("made", made_spec(make_spec), [], generator(make=make))
    with pytest.raises(DataError, match="case 'g0': 8 voxels are NaN"):
        read_case(dataset, list_cases(dataset)[0])


def test_a_classification_case_needs_its_class(make_spec):
    spec = make_spec(
        2,
        kind="classification",
        structures={},
        metrics=["auc"],
        target={"name": "grade", "classes": ["low", "high"]},
        format={"kind": "generated", "generator": "made"},
    )
    dataset = open_dataset("made", spec, [], generator())
    with pytest.raises(DataError, match="case 'g0' has no class"):
        list_cases(dataset)


def test_real_hippocampus_where_it_is_there(real_data):
    """All 200 cases of the copy pass every check; the listing agrees with the files."""
    dataset, cases = real_data
    listing = json.loads((dataset.root / "dataset.json").read_text())
    assert len(cases) == len(listing["training"])
    raw = read_case(dataset, cases[0])
    assert raw.image.ndim == 4
    assert set(np.unique(raw.label)) == {0, 1, 2}


def test_the_hippocampus_task_file(hippocampus):
    assert hippocampus.cases == 260
    assert not hippocampus.allow_partial
    assert hippocampus.structures == {"anterior": 1, "posterior": 2}
    assert hippocampus.preprocess.spacing == (1, 1, 1)
    for crop in hippocampus.crop.values():  # what three merges and patches of 2 divide
        assert all(side % 16 == 0 for side in crop)
    (file,) = hippocampus.source.files
    assert file.verified == "never"
    assert file.digest_page
