"""nnU-Net folders, MedMNIST files and picture folders; real ones where they are there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.volumes.formats import fingerprint, read_case

from .listed import (
    NPZ,
    PAIR,
    RAW,
    classed,
    fault,
    listed,
    picture,
    write_npz,
)


def test_an_nnunet_folder(raw_folder, make_spec):
    dataset, cases = listed(raw_folder, make_spec(2, format=RAW, **PAIR))
    assert [ref.case_id for ref in cases] == ["a_1", "b"]
    raw = read_case(dataset, cases[0])
    assert raw.image[:, 1, 1].tolist() == [20, 21]
    assert raw.label.sum() == 62
    assert cases[0].side is None
    picture(raw_folder / "made" / "imagesTs" / "c_0000.png")
    picture(raw_folder / "made" / "imagesTs" / "c_0001.png")
    assert len(listed(raw_folder, make_spec(2, format=RAW, **PAIR))[1]) == 2
    picture(raw_folder / "made" / "labelsTs" / "c.png", 1)
    _, cases = listed(raw_folder, make_spec(3, format=RAW, **PAIR))
    assert [ref.side for ref in cases] == ["train", "train", "test"]


def test_a_table_beside_an_nnunet_folder(raw_folder, make_spec):
    columns = {"case": "case", "patient": "who", "target": "stage"}
    form = {**RAW, "file": "about.csv", "columns": columns}
    stages = {"name": "s", "classes": ["I-II", "III"], "values": {"": None}}
    spec = classed(make_spec, 1, form, channels=["t1", "t2"], target=stages)
    dataset, (ref,) = listed(raw_folder, spec)
    assert (ref.case_id, ref.group_id, ref.target, ref.label) == ("a_1", "ann", 1, None)
    assert read_case(dataset, ref).label is None
    (raw_folder / "made" / "about.csv").write_text("case,who,stage\nz,ann,III\n")
    said = fault(raw_folder, spec)
    assert "about.csv:2: case 'z' has no images" in said
    assert "about.csv: has no row for case 'b'" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("labelsTr/b.png", "labelsTr/b.png: listed in"),
        ("imagesTr/b_0001.png", "imagesTr/b_0001.png: missing, case 'b' needs it"),
        ("dataset.json", "an nnU-Net folder is described by its dataset.json"),
    ],
)
def test_missing_files_of_an_nnunet_folder(raw_folder, make_spec, spoil, said):
    (raw_folder / "made" / spoil).unlink()
    assert said in fault(raw_folder, make_spec(2, format=RAW, **PAIR))


def test_what_an_nnunet_folder_says_otherwise(raw_folder, make_spec):
    one = make_spec(2, format=RAW, **{**PAIR, "channels": ["t1"]})
    assert "has 2 channels (T1, T2), but the task declares 1 (t1)" in fault(
        raw_folder, one
    )
    picture(raw_folder / "made" / "imagesTr" / "b_0002.png")
    picture(raw_folder / "made" / "imagesTr" / "d.png")
    said = fault(raw_folder, make_spec(2, format=RAW, **PAIR))
    assert "imagesTr/b_0002.png: the task declares 2 channels" in said
    assert "imagesTr/d.png: its name needs a channel, such as _0000" in said
    (raw_folder / "made" / "dataset.json").write_text("{}")
    assert "needs 'channel_names'" in fault(
        raw_folder, make_spec(2, format=RAW, **PAIR)
    )


def test_cases_that_dataset_json_lists_itself(raw_folder, make_spec):
    path = raw_folder / "made" / "dataset.json"
    about = json.loads(path.read_text())
    images = ["imagesTr/b_0001.png", "imagesTr/b_0000.png"]
    about["dataset"] = {"only": {"images": images, "label": "labelsTr/b.png"}}
    path.write_text(json.dumps(about))
    dataset, (ref,) = listed(raw_folder, make_spec(1, format=RAW, **PAIR))
    assert read_case(dataset, ref).image[:, 1, 1].tolist() == [21, 20]
    about["dataset"] = {"only": {"image": images}}
    path.write_text(json.dumps(about))
    said = fault(raw_folder, make_spec(1, format=RAW, **PAIR))
    assert "each case under 'dataset' needs 'images' and 'label'" in said


@pytest.mark.parametrize(
    ("shape", "dims", "channels"),
    [((28, 28), 2, 1), ((28, 28, 3), 2, 3), ((12, 14, 16), 3, 1)],
)
def test_a_medmnist_file(tmp_path, make_spec, shape, dims, channels):
    arrays = write_npz(tmp_path, shape)
    names = [f"c{n}" for n in range(channels)]
    crop = {"tiny": [8] * dims}
    spec = classed(make_spec, 10, NPZ, dims=dims, channels=names, crop=crop)
    dataset, cases = listed(tmp_path, spec)
    assert [ref.side for ref in cases] == ["test"] * 3 + ["train"] * 5 + ["val"] * 2
    assert [ref.target for ref in cases[:3]] == arrays["test_labels"][:, 0].tolist()
    raw = read_case(dataset, cases[4])  # the second one to train on
    assert cases[4].case_id == "train_00001"
    wanted = arrays["train_images"][1]
    wanted = wanted[None] if channels == 1 else np.moveaxis(wanted, -1, 0)
    np.testing.assert_array_equal(raw.image, wanted)
    before = fingerprint(dataset, cases)
    write_npz(tmp_path, shape, val_images=arrays["val_images"] // 2)
    assert fingerprint(*listed(tmp_path, spec)) != before


def test_one_of_several_labels(tmp_path, make_spec):
    arrays = write_npz(tmp_path, labels=14)
    said = fault(tmp_path, classed(make_spec, 10, NPZ))
    assert "made.npz: has 14 labels per image; say under 'format'" in said
    _, cases = listed(tmp_path, classed(make_spec, 10, {**NPZ, "column": 3}))
    assert [ref.target for ref in cases[:3]] == arrays["test_labels"][:, 3].tolist()
    assert "has no label column 20, but 14" in fault(
        tmp_path, classed(make_spec, 10, {**NPZ, "column": 20})
    )


def test_broken_medmnist_files(tmp_path, make_spec):
    write_npz(tmp_path)
    path = tmp_path / "made.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    said = fault(tmp_path, classed(make_spec, 10, NPZ))
    assert said.startswith("made.npz: train_labels cannot be read, it may be truncated")
    np.savez(path, train_labels=np.zeros((3, 1)))
    assert "made.npz: has no array 'train_images'" in fault(
        tmp_path, classed(make_spec, 10, NPZ)
    )
    np.savez(path, train_labels=np.array([{}, None], dtype=object))
    assert "train_labels cannot be read" in fault(tmp_path, classed(make_spec, 10, NPZ))
    write_npz(tmp_path, train_images=np.zeros((2, 28, 28), np.uint8))
    assert fault(tmp_path, classed(make_spec, 10, NPZ)) == (
        "made.npz: has 2 train images, but 5 train labels"
    )
    write_npz(tmp_path, train_labels=np.full((5, 1), 4))
    assert "case 'train_00000' has class 4, not 0 to 1" in fault(
        tmp_path, classed(make_spec, 10, NPZ)
    )
    assert "a MedMNIST file has classes, no label maps" in fault(
        tmp_path, make_spec(10, format=NPZ, dims=2, crop={"tiny": [8, 8]})
    )


def test_folders_name_classes_sides_and_patients(tmp_path, make_spec):
    for path in ("train/benign/ann_1", "train/malignant/ann_2", "test/benign/bob_1"):
        picture(tmp_path / "made" / f"{path}.png")
    (tmp_path / "made" / "train" / "benign" / "Thumbs.db").write_text("no picture")
    form = {
        "kind": "images",
        "folder": "made",
        "pattern": "{split}/{target}/{patient}_*",
    }
    dataset, cases = listed(tmp_path, classed(make_spec, 3, form))
    assert [ref.case_id for ref in cases] == [
        "test_benign_bob_1", "train_benign_ann_1", "train_malignant_ann_2",
    ]  # fmt: skip
    assert [ref.group_id for ref in cases] == ["bob", "ann", "ann"]
    assert [ref.side for ref in cases] == ["test", "train", "train"]
    assert read_case(dataset, cases[0]).image.shape == (1, 9, 7)


def test_faults_of_picture_folders(tmp_path, make_spec):
    form = {"kind": "images", "folder": "made"}
    picture(tmp_path / "made" / "benin" / "1.png")
    said = fault(tmp_path, classed(make_spec, 1, form))
    assert "benin/1.png: 'benin' under 'target' is none of the classes" in said
    deep = {**form, "pattern": "{split}/{target}/*"}
    assert "no picture lies where '{split}/{target}/*' looks" in fault(
        tmp_path, classed(make_spec, 1, deep)
    )
    assert "need a table, format 'csv'" in fault(
        tmp_path, make_spec(1, format=form, dims=2, crop={"tiny": [8, 8]})
    )
    for pattern, said in [
        ("{target}/{target}", "more than once"),
        ("{klass}/*", "only {target}, {split}, {patient} and {case}"),
    ]:
        with pytest.raises(ValueError, match=said.replace("{", r"\{")):
            classed(make_spec, 1, {**form, "pattern": pattern})


def real_root(*parts) -> Path:
    roots = map(Path, filter(None, os.environ.get("MEDSSL_DATA", "").split(":")))
    found = next((root for root in roots if root.joinpath(*parts).exists()), None)
    if found is None:
        pytest.skip(f"MEDSSL_DATA names no folder with {'/'.join(parts)}")
    return found


@pytest.mark.parametrize(
    ("name", "count", "dims", "channels", "classes"),
    [("pneumoniamnist", 5856, 2, 1, 2), ("retinamnist", 1600, 2, 3, 5),
     ("vesselmnist3d", 1908, 3, 1, 2)],
)  # fmt: skip
def test_real_medmnist(make_spec, name, count, dims, channels, classes):
    root = real_root("medmnist", f"{name}.npz")
    spec = classed(
        make_spec, count, {"kind": "medmnist", "file": f"medmnist/{name}.npz"},
        dims=dims, channels=[str(n) for n in range(channels)],
        crop={"tiny": [8] * dims},
        target={"name": "t", "classes": [str(n) for n in range(classes)]},
    )  # fmt: skip
    dataset, cases = listed(root, spec)
    assert read_case(dataset, cases[-1]).image.shape == (channels, *[28] * dims)


def test_real_lung_tumours_and_their_stages(make_spec):
    root = real_root("Dataset501_LungTumourCT", "clinical.csv")
    form = {"kind": "nnunet", "folder": "Dataset501_LungTumourCT",
            "file": "clinical.csv", "columns": {"target": "t_stage"}}  # fmt: skip
    early = {"name": "stage", "classes": ["T1-2", "T3-4"], "edges": [3]}
    size = {"crop": {"tiny": [32, 32, 32]}, "dims": 3}
    _, cases = listed(root, classed(make_spec, 60, form, target=early, **size))
    assert {ref.target for ref in cases} == {0, 1}
    assert all(ref.group_id == ref.case_id for ref in cases)
    dataset, cases = listed(root, make_spec(60, format=form, structures={"tumour": 1}))
    raw = read_case(dataset, cases[0])
    assert raw.image.min() < -900  # HU
    assert set(np.unique(raw.label)) == {0, 1}


def test_real_glioma_of_three_channels(make_spec):
    root = real_root("Dataset502_LowerGradeGlioma")
    form = {"kind": "nnunet", "folder": "Dataset502_LowerGradeGlioma"}
    names = ["t1", "flair", "t1c"]
    spec = make_spec(28, format=form, structures={"tumour": 1}, channels=names)
    dataset, cases = listed(root, spec)
    assert read_case(dataset, cases[0]).image.shape[:3] == (3, 128, 128)
