"""What a user has before the first command: content, a folder of data, a benchmark."""

import json
import shutil
import tempfile
from pathlib import Path
from textwrap import dedent

import nibabel as nib
import numpy as np
import pytest

from harness.cli import main
from harness.registry import describe

ROOT = Path(__file__).resolve().parents[2]
TASK = """
title: Blobs
kind: segmentation
modality: MRI
dims: {dims}
format: {{kind: msd, folder: {folder}}}
cases: 6
structures: {{inner: 1, outer: 2}}
preprocess:
  intensity: {{kind: percentiles}}
crop: {{tiny: [16, 16, 16], small: [16, 16, 16]}}
# Chosen so that the six names fall 4 to train, 1 to val and 1 to test.
split: {{kind: hash, val: 0.2, test: 0.2, seed: {seed}}}
metrics: [dice, hd95]
source: {{page: "https://example.org/blobs", licence: CC0}}
"""
FLAT = '''
"""A method of the tests that works on slices only."""
from typing import ClassVar
from harness.api import BaselineSettings, Method


class Flat(Method):
    """For slices."""

    Settings = BaselineSettings
    version: ClassVar[int] = 1
    role: ClassVar[str] = "baseline"
    dims: ClassVar[tuple[int, ...]] = (2,)
'''
GOOD = """
tier: tiny
content: {content}
data_root: data
methods: {{random: }}
protocols: {{finetune: {{steps: 2, val_every: 2}}}}
tasks: [blobs]
label_budgets: [100%]
seeds: [0]
"""


class Folder:
    """A folder in the layout of the Medical Segmentation Decathlon."""

    def __init__(self, path):
        self.path = path

    @staticmethod
    def blob(number):
        """A ball (1) in a ball (2) in noise: image float32, label uint8, 14x12x10."""
        rng = np.random.default_rng(number)
        axes = np.meshgrid(
            *(np.linspace(-1, 1, n) for n in (14, 12, 10)), indexing="ij"
        )
        radius = np.sqrt(sum((a - rng.uniform(-0.2, 0.2)) ** 2 for a in axes))
        label = (2 * (radius < 0.7)).astype(np.uint8)
        label[radius < 0.4] = 1
        return (100 * label + rng.normal(0, 20, label.shape)).astype(np.float32), label

    def fill(self, cases=6):
        for number in range(cases):
            self.put(number, *self.blob(number))
        files = [f"blob_{number}.nii.gz" for number in range(cases)]
        entries = [
            {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}
            for name in files
        ]
        (self.path / "dataset.json").write_text(json.dumps({"training": entries}))

    def put(self, number, image, label, *, affine=None, label_affine=None):
        affine = np.diag([1.0, 1.0, 1.5, 1.0]) if affine is None else affine
        label_affine = affine if label_affine is None else label_affine
        for kind, voxels, grid in (
            ("imagesTr", image, affine), ("labelsTr", label, label_affine),
        ):  # fmt: skip
            folder = self.path / kind
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"blob_{number}.nii.gz"
            nib.save(nib.Nifti1Image(voxels, grid), file)


class Session:
    """A user's folder: benchmark.yaml, data/, and results/ once something is there."""

    def __init__(self, root, content, capsys):
        self.root, self.content, self._capsys = root, content, capsys
        self.results = root / "results"
        self.data = Folder(root / "data" / "Task99_Blobs")
        self.benchmark = root / "benchmark.yaml"

    def write(self, text=GOOD, **changes):
        """Write the benchmark file; changes: another line for a key of it."""
        lines = text.format(content=self.content).strip().splitlines()
        for key, value in changes.items():
            kept = [line for line in lines if not line.startswith(f"{key}:")]
            lines = [*kept, f"{key}: {value}"]
        self.benchmark.write_text("\n".join(lines) + "\n")

    def line(self, start):
        """The number of the line of the benchmark file that starts so."""
        lines = self.benchmark.read_text().splitlines()
        (number,) = [n for n, line in enumerate(lines, 1) if line.startswith(start)]
        return number

    def harness(self, *words):
        """Run a command; return (exit code, stdout, stderr)."""
        self._capsys.readouterr()
        code = main(["--results", str(self.results), *words])
        return code, *self._capsys.readouterr()

    def run(self, *words):
        return self.harness("run", "--cluster", "inline", *words)

    def tree(self):
        """Everything on disk that a command could have written to, with its bytes."""
        temporary = Path(tempfile.gettempdir())
        return {
            str(path): path.read_bytes() if path.is_file() else None
            for root in (self.root, self.content, temporary)
            for path in sorted(root.rglob("*"))
            if "__pycache__" not in path.parts
        }


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    """Methods of this checkout and tasks of the tests: one folder, described once."""
    root = tmp_path_factory.mktemp("content")
    shutil.copytree(
        ROOT / "methods", root / "methods", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "methods" / "flat.py").write_text(dedent(FLAT))
    (root / "tasks").mkdir()
    for name, changes in {
        "blobs": {},
        "absent": {"folder": "Task98_Absent"},
        "slices": {"dims": 2},
    }.items():
        filled = {"dims": 3, "folder": "Task99_Blobs", "seed": 8, **changes}
        (root / "tasks" / f"{name}.yaml").write_text(TASK.format(**filled))
    return root


@pytest.fixture(scope="session")
def described(tmp_path_factory):
    """The user's cache of method descriptions, shared: each child process is slow."""
    return tmp_path_factory.mktemp("described")


@pytest.fixture
def user(tmp_path, content, described, monkeypatch, capsys, own_modules):
    """A user in a folder of their own, with good data and a good benchmark file."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MEDSSL_CACHE", str(described))
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path / "home")
    session = Session(tmp_path / "home", content, capsys)
    session.data.fill()
    session.write()
    return session


@pytest.fixture
def described_here(monkeypatch):
    """Describe methods in this process: saves a child that imports torch."""
    from harness.registry import child

    def ask(asked):
        return json.loads(json.dumps(child.answer(json.loads(json.dumps(asked)))))

    monkeypatch.setattr(describe, "_ask_child", ask)
