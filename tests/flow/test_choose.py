"""docs/choose-a-checkpoint.md: its commands, on painted scans, at tier tiny."""

import csv
import json
import re
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from harness.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/choose-a-checkpoint.md").read_text()
COUNT = 20


def paint(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball (value 7 in the mask) in a darker body, in HU."""
    rng = np.random.default_rng(number)
    grid = np.indices((28, 26, 20)).astype(float)
    middle = np.array([14, 13, 10]) + rng.uniform(-4, 4, 3)
    away = np.sqrt(((grid - middle[:, None, None, None]) ** 2).sum(axis=0))
    label = np.where(away < 5, 7, 0).astype(np.uint8)
    image = rng.normal(0, 20, label.shape) + 150 * (label > 0)
    image[:3] = -1000
    return image.astype(np.int16), label


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders scans/, with a table, and new/, as the page has them."""
    root = tmp_path_factory.mktemp("choose")
    affine = np.array([[0, -1.0, 0, 5], [1.5, 0, 0, 9], [0, 0, 2.0, 3], [0, 0, 0, 1]])
    for folder in ("scans/images", "scans/masks", "new"):
        (root / folder).mkdir(parents=True)
    rows = []
    for number in range(COUNT):
        image, label = paint(number)
        name = f"scan{number:02d}.nii.gz"
        nib.save(nib.Nifti1Image(image, affine), root / "scans/images" / name)
        nib.save(nib.Nifti1Image(label, affine), root / "scans/masks" / name)
        rows.append((f"images/{name}", f"masks/{name}", f"patient{number}"))
    with (root / "scans/cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "patient"), *rows])
    nib.save(nib.Nifti1Image(paint(77)[0], affine), root / "new/visit.nii.gz")
    return root


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def shorten(path: Path) -> None:
    """Tier tiny, one fold and seed, and no nnU-Net, which has a suite of its own."""
    text = path.read_text()
    for before, after in [
        ("tier: small ", "tier: tiny "), ("seeds: [0, 1]", "seeds: [0]"),
        ("folds: 3 ", "folds: 1 "), ("  nnunet:", "  # nnunet:"),
        ("[5-shot, 100%]", "[100%]"), ("[finetune, frozen]", "[finetune]"),
        ("finetune: {} ", "finetune: {steps: 1, val_every: 1, overlap: 0} "),
    ]:  # fmt: skip
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text)
    task = path.parent / "tasks/scans.yaml"
    text = task.read_text()
    assert "tiny: [32, 32, 32]" in text
    task.write_text(text.replace("tiny: [32, 32, 32]", "tiny: [16, 16, 16]"))


def test_the_page_goes_from_scans_to_predictions(place, bench, monkeypatch, capsys):
    # (`bench` describes methods in this process)
    monkeypatch.chdir(place)
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for number, words in enumerate(commands()):
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
            shorten(Path("benchmark.yaml"))
            continue
        assert words[0] == "harness"
        arguments = words[1:]
        if "local" in arguments:  # processes of its own would import torch once more
            arguments[arguments.index("local")] = "inline"
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code == 0, f"{number}: {' '.join(words)}\n{out}\n{err}"
        if arguments[0] == "report":
            assert "random" in out
            assert "Dice" in out
    spec = Path("tasks/scans.yaml").read_text()
    assert "label_7: 1" in spec
    assert "relabel: {7: 1}" in spec
    assert "modality: CT" in spec
    assert "spacing: [1.0, 1.5, 2.0]" in spec
    mask = nib.load("../masks/visit.nii.gz")
    source = nib.load("../new/visit.nii.gz")
    assert mask.shape == source.shape
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}
    about = json.loads(Path("../masks/about.json").read_text())
    assert about["structures"] == {"label_7": 1}
    assert about["cell"]["protocol"] == "finetune"
