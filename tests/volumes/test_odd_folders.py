"""MedMNIST files, tables and nnU-Net folders that are odd or broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.volumes.formats import read_case

from .listed import CSV, NPZ, PAIR, RAW, classed, fault, listed, picture, write_npz


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.full((5, 1), 0.5), "train label 0 is 0.5, not the whole number of a class"),
        (np.array([[0], [1], [np.nan], [0], [1]]), "train label 2 is nan, not the"),
        (np.array([["a"]] * 5), "train label 0 is a, not the whole number"),
        (np.zeros((4, 1), np.uint8), "has 5 train images, but 4 train labels"),
        (np.uint8(1), "has 5 train images, but 1 train labels"),
    ],
)
def test_labels_of_a_medmnist_file(tmp_path, make_spec, labels, said):
    write_npz(tmp_path, train_labels=labels)
    assert said in fault(tmp_path, classed(make_spec, 10, NPZ))


def test_medmnist_images_of_another_kind_are_one_sentence(tmp_path, make_spec):
    cube = {"dims": 3, "crop": {"tiny": [8, 8, 8]}}
    write_npz(tmp_path, (28, 28, 3))
    said = fault(tmp_path, classed(make_spec, 10, NPZ, **cube))
    assert said.startswith(
        "made.npz, train images: are 28 x 28 in colour: set 'dims: 2'"
    )
    write_npz(tmp_path, (1, 9, 9, 9))
    said = fault(tmp_path, classed(make_spec, 10, NPZ, **cube))
    assert said.startswith("made.npz, train images: has 4 dimensions (1, 9, 9, 9)")
    write_npz(tmp_path, train_labels=np.ones((5, 1), np.float32))  # whole, if floats
    _, cases = listed(tmp_path, classed(make_spec, 10, NPZ))
    assert [ref.target for ref in cases if ref.side == "train"] == [1] * 5


def test_tables_with_bars_open_quotes_and_lines_without_a_patient(
    table, make_spec, tmp_path
):
    root = table("image|target|patient\npng/0.png|0|a\npng/1.png|1|b\n")
    assert len(listed(root, classed(make_spec, 2, CSV))[1]) == 2
    root = table('image,target\n"png/0.png,0\npng/1.png,1\n')
    assert "not a table (unexpected end of data)" in fault(
        root, classed(make_spec, 2, CSV, allow_partial=True)
    )
    root = table("image,target,patient\npng/0.png,0,a\npng/1.png,1,\n")
    assert "cases.csv:3: names no patient under 'patient', as other lines do" in fault(
        root, classed(make_spec, 2, CSV)
    )
    root = table("image,target,patient\npng/0.png,0,\npng/1.png,1,\n")
    _, cases = listed(root, classed(make_spec, 2, CSV))
    assert [ref.group_id for ref in cases] == ["png_0", "png_1"]
    root = table("image,target\npng/0.png,inf\npng/1.png,1\n")
    target = {"name": "age", "classes": ["low", "high"], "edges": [3], "ordinal": True}
    assert "'inf' under 'target' is none of the classes" in fault(
        root, classed(make_spec, 2, CSV, target=target)
    )


def test_an_nnunet_folder_as_file_managers_and_others_leave_it(
    raw_folder, make_spec, tmp_path
):
    root, made = tmp_path, tmp_path / "made"
    (made / "imagesTr" / "._a_0000.png").write_bytes(b"x")
    about = json.loads((made / "dataset.json").read_text())
    about["file_ending"] = "png"
    (made / "dataset.json").write_text(json.dumps(about), encoding="utf-8-sig")
    count = len(list((made / "labelsTr").iterdir()))
    assert len(listed(root, make_spec(count, format=RAW, **PAIR))[1]) == count
    about["labels"] = {"background": 0, "all": 2}
    (made / "dataset.json").write_text(json.dumps(about))
    assert "calls the label 2 'all', whose value is 1 in the task file" in fault(
        root, make_spec(count, format=RAW, **PAIR)
    )
    about["labels"] = {"background": 0, "all": [1, 2]}
    (made / "dataset.json").write_text(json.dumps(about))
    for name in ("imagesTs", "labelsTs"):
        (made / name).mkdir()
    for name in ("imagesTs/b_0000.png", "imagesTs/b_0001.png", "labelsTs/b.png"):
        picture(made / name, 1)
    picture(made / "labelsTr" / "lost.png", 1)
    said = fault(root, make_spec(count, format=RAW, allow_partial=True, **PAIR))
    assert "imagesTs: case 'b' is in imagesTr, too" in said
    assert "labelsTr/lost.png: has no image imagesTr/lost_0000.png" in said


def test_one_picture_in_colour_is_three_channels_of_nnunet(tmp_path, make_spec):
    made = tmp_path / "made"
    picture(made / "imagesTr" / "a_0000.png", colour=True)
    picture(made / "labelsTr" / "a.png", 1)
    (made / "dataset.json").write_text(
        json.dumps({"channel_names": dict(enumerate("RGB")), "file_ending": ".png"})
    )
    spec = make_spec(1, format=RAW, **{**PAIR, "channels": ["r", "g", "b"]})
    dataset, cases = listed(tmp_path, spec)
    assert read_case(dataset, cases[0]).image.shape == (3, 9, 7)
