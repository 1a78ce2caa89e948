"""Small MSD folders for the tests of volumes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from harness.schema.task import TaskSpec
from harness.volumes.formats import Dataset, list_cases, open_dataset

from .listed import picture

CONTENT = Path(__file__).parents[2]


def spec_of(cases: int, **changes: Any) -> TaskSpec:
    content = {
        "title": "Blobs",
        "kind": "segmentation",
        "modality": "MRI",
        "format": {"kind": "msd", "folder": "Task99_Blobs"},
        "cases": cases,
        "structures": {"inner": 1, "outer": 2},
        "preprocess": {"intensity": {"kind": "percentiles"}},
        "crop": {"tiny": [8, 8, 8]},
        "metrics": ["dice"],
        "source": {"page": "http://example.org/blobs", "licence": "CC0"},
    }
    return TaskSpec.model_validate(content | changes)


@dataclass
class Folder:
    """An MSD folder below `root` that tests fill, spoil and open."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root / "Task99_Blobs"

    def write(
        self, name: str, image: np.ndarray, label: np.ndarray, affine=None
    ) -> None:
        affine = np.eye(4) if affine is None else affine
        for kind, voxels in (("imagesTr", image), ("labelsTr", label)):
            (self.path / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, affine), self.path / kind / name)
        self.list(sorted(p.name for p in (self.path / "imagesTr").iterdir()))

    def list(self, names: list[str]) -> None:
        entries = [
            {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}
            for name in names
        ]
        (self.path / "dataset.json").write_text(json.dumps({"training": entries}))

    def fill(self, count: int, shape=(12, 10, 8), affine=None) -> None:
        for k in range(count):
            image, label = blob(shape, seed=k)
            self.write(f"blob_{k:03}.nii.gz", image, label, affine)

    def open(self, cases: int, **changes: Any) -> Dataset:
        return open_dataset("blobs", spec_of(cases, **changes), [self.root])


def blob(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A ball in a ball in noise: image float32, label uint8."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(sum((a - rng.uniform(-0.2, 0.2)) ** 2 for a in axes))
    label = (2 * (radius < 0.7)).astype(np.uint8)
    label[radius < 0.4] = 1
    image = 100 * label + rng.normal(0, 20, shape)
    return image.astype(np.float32), label


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


@pytest.fixture
def make_spec():
    return spec_of


@pytest.fixture
def make_blob():
    return blob


@pytest.fixture(scope="session")
def hippocampus() -> TaskSpec:
    content = yaml.safe_load((CONTENT / "tasks" / "msd_hippocampus.yaml").read_text())
    return TaskSpec.model_validate(content)


@pytest.fixture(scope="session")
def real_data(hippocampus):
    """The hippocampus task and its cases, from the folder that MEDSSL_DATA names."""
    roots = [
        Path(root) for root in os.environ.get("MEDSSL_DATA", "").split(":") if root
    ]
    if not any((root / "Task04_Hippocampus").is_dir() for root in roots):
        pytest.skip("MEDSSL_DATA names no folder with Task04_Hippocampus")
    spec = hippocampus.model_copy(update={"allow_partial": True})
    dataset = open_dataset("msd_hippocampus", spec, roots)
    return dataset, list_cases(dataset)


@pytest.fixture
def table(tmp_path):
    """Write a table over pictures 0.png to 5.png, which are there."""
    for number in range(6):
        picture(tmp_path / "made" / "png" / f"{number}.png", 50 + number)

    def write(text, file="cases.csv"):
        path = tmp_path / "made" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def raw_folder(tmp_path):
    """Two labelled cases of two channels, pictures, with a table beside them."""
    root = tmp_path / "made"
    for case in ("a_1", "b"):
        for channel in range(2):
            picture(root / "imagesTr" / f"{case}_{channel:04d}.png", 20 + channel)
        picture(root / "labelsTr" / f"{case}.png", 1)
    about = {"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps(about))
    (root / "about.csv").write_text("case,who,stage\na_1,ann,III\nb,bob,\n")
    return tmp_path
