"""Bad data on disk, format by format: a sentence a fault, exit code 2, nothing written."""

import json

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from .test_bad_input import refused

RUN = ("run", "--cluster", "inline")
IMAGES = """
title: Cohort
kind: classification
modality: X-ray
dims: 2
format: {kind: csv, folder: cohort}
cases: 12
target: {name: finding, classes: [benign, malignant]}
preprocess: {intensity: {kind: window, low: 0, high: 255}}
crop: {tiny: [16, 16]}
split: {kind: publisher}
metrics: [auc]
source: {page: "https://example.org/cohort", licence: CC0}
"""
VOLUMES = """
title: Scans
kind: segmentation
modality: CT
format: {kind: nnunet, folder: scans}
cases: 4
structures: {lesion: 1}
preprocess: {intensity: {kind: window, low: 0, high: 255}}
crop: {tiny: [16, 16, 16]}
split: {kind: counts, val: 1, test: 1}
metrics: [dice]
source: {page: "https://example.org/scans", licence: CC0}
"""

CORPUS = """
title: Pictures of no task
preprocess: {intensity: {kind: window, low: 0, high: 255}}
sources:
  - volumes:
      name: pictures
      modality: X-ray
      dims: 2
      format: {kind: images, folder: pictures, pattern: "*"}
      cases: 12
      skip_unreadable: SKIP
      source: {page: "https://example.org/pictures", licence: CC0}
"""


@pytest.fixture
def cohort(user, content):
    """Twelve pictures in a table, four volumes in an nnU-Net folder, two tasks."""
    folder = user.root / "data" / "cohort"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["image,target,patient,split"]
    for number in range(12):
        pixels = rng.integers(0, 256, (20, 20), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        side = ("train", "train", "val", "test")[number // 2 % 4]
        rows.append(
            f"{number}.png,{('benign', 'malignant')[number % 2]},p{number},{side}"
        )
    (folder / "cases.csv").write_text("\n".join(rows))
    scans = user.root / "data" / "scans"
    for number in range(4):
        for kind, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
            (scans / kind).mkdir(parents=True, exist_ok=True)
            voxels = rng.integers(0, 2, (12, 11, 10)).astype(np.uint8)
            image = SimpleITK.GetImageFromArray(voxels)
            SimpleITK.WriteImage(image, str(scans / kind / f"s{number}{ending}.mha"))
    about = {"channel_names": {"0": "CT"}, "file_ending": ".mha"}
    (scans / "dataset.json").write_text(json.dumps(about))
    for name, text in (("cohort", IMAGES), ("scans", VOLUMES)):
        (content / "tasks" / f"{name}.yaml").write_text(text)
    yield user.root / "data"
    for name in ("cohort", "scans"):
        (content / "tasks" / f"{name}.yaml").unlink()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


def four_axes(path):
    voxels = np.zeros((2, 12, 11, 10), np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels, isVector=False), str(path))


def flat(path):
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((12, 11), np.uint8)), str(path)
    )


def two_channels(path):
    about = {"channel_names": {"0": "CT", "1": "PET"}, "file_ending": ".mha"}
    path.write_text(json.dumps(about))


TABLE = "cohort/cases.csv"
FAULTS = [
    (TABLE, lambda p: edit(p, "malignant", "malign"),
     "cases.csv:3: 'malign' under 'target' is none of the classes benign, malignant. "
     "Did you mean 'malignant'?"),
    (TABLE, lambda p: edit(p, "p4,val", "p0,val"),
     "task 'cohort': patient 'p0' is both in val and in train, which would leak"),
    (TABLE, lambda p: edit(p, "3.png", "33.png"), "33.png: listed in"),
    (TABLE, lambda p: p.unlink(), "cases.csv is missing: it lists the cases"),
    ("cohort/5.png", cut, "5.png: not a readable picture, it may be truncated"),
    ("scans/labelsTr/s1.mha", flat,
     "labelsTr/s1.mha: the label has 2 dimensions (12, 11), but imagesTr/s1_0000.mha"),
    ("scans/imagesTr/s2_0000.mha", four_axes,
     "imagesTr/s2_0000.mha: has 4 dimensions; store one volume per file"),
    ("scans/imagesTr/s2_0000.mha", cut, "imagesTr/s2_0000.mha: not a readable file"),
    ("scans/dataset.json", two_channels,
     "has 2 channels (CT, PET), but the task declares 1 (image)"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "spoil", "said"), FAULTS)
def test_a_fault_of_the_data_is_one_sentence(user, cohort, file, spoil, said):
    task = file.split("/")[0]
    dims = "{encoder: {dims: 2}}" if task == "cohort" else ""
    user.write(tasks=f"[{task}]", methods=f"{{random: {dims}}}")
    spoil(cohort / file)
    (found,) = refused(user, *RUN)
    assert said in found


def test_every_class_may_be_missing_from_the_test_side(user, cohort):
    """Then there is no AUC, and the report says why; it is not zero."""
    table = cohort / "cohort" / "cases.csv"
    lines = table.read_text().splitlines()
    benign = [each.replace("malignant", "benign") for each in lines]
    table.write_text("\n".join(
        new if new.endswith("test") else old
        for old, new in zip(lines, benign, strict=True)
    ))  # fmt: skip
    user.write(tasks="[cohort]", methods="{random: {encoder: {dims: 2}}}")
    code, _, err = user.run()
    assert code == 0, err
    code, out, err = user.harness("report", "--table", "auc")
    assert code == 0, err
    assert "undefined on these test cases, where a class is absent" in " ".join(
        out.split()
    )


@pytest.fixture
def pictures(user, cohort, content):
    """Twelve pictures of no task, one of them cut; write(skip) makes their corpus."""
    folder = cohort / "pictures"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    cut(folder / "07.png")
    corpus = content / "corpora" / "pictures.yaml"
    corpus.parent.mkdir(exist_ok=True)

    def write(*, skip):
        corpus.write_text(CORPUS.replace("SKIP", "true" if skip else "false"))
        method = "{encoder: {kind: resnet, dims: 2}, steps: 1}"
        user.write(tasks="[cohort]", corpus="pictures", methods=f"{{simclr: {method}}}")

    yield write
    corpus.unlink()


def test_unreadable_files_of_a_corpus_are_refused_or_listed_and_left_out(
    user, pictures
):
    pictures(skip=False)
    (said,) = refused(user, *RUN, "--until", "pretrain")
    assert "07.png: not a readable picture, it may be truncated" in said
    pictures(skip=True)
    code, _, err = user.run("--until", "pretrain")
    assert code == 0, err
    assert "pictures@pictures: left out: 07.png: not a readable picture" in err
    code, out, _ = user.harness("data", "check", "pictures@pictures")
    assert code == 2
    assert out.splitlines()[0].startswith("07.png: not a readable picture")
