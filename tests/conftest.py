"""A small content folder of its own, for tests of registry, matrix, plan and cli."""

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from harness.matrix import Matrix, load
from harness.registry import describe
from harness.schema.errors import Mistakes

METHOD = '''
"""A method of the tests."""
from typing import ClassVar
from pydantic import Field, model_validator
from harness.api import BaselineSettings, FusionSettings, Method, MethodSettings


class {name}Settings({base}):
    {field}


class {name}({parent}):
    """{title}"""

    Settings = {name}Settings
    version: ClassVar[int] = {version}
    role: ClassVar[str] = "{role}"
    dims: ClassVar[tuple[int, ...]] = {dims}
    encoders: ClassVar[tuple[str, ...]] = ("swin",)
'''
RATIO = "mask_ratio: float = Field(0.6, gt=0, lt=1)"
GENERATOR = """
from harness.schema.cases import CaseRef


def cases(seed: int, *, count: int = 20, classes: int = 0):
    sides = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    return [
        CaseRef(
            f"case{seed}{i:05d}",
            f"patient{i:05d}",
            target=i // 10 % classes if classes else None,
            side=sides[i % 10],
            stamp="1",
        )
        for i in range(count)
    ]


def make(case, seed: int, *, count: int = 20, classes: int = 0):
    raise NotImplementedError
"""
TASK = """
title: {title}
kind: {kind}
modality: none
synthetic: true
dims: {dims}
channels: {channels}
format: {{kind: generated, generator: toy, seed: {seed}, settings: {settings}}}
cases: 20
{what}
preprocess:
  intensity: {{kind: window, low: 0, high: 1}}
crop: {{tiny: [16, 16, 16], small: [32, 32, 32]}}
split: {{kind: publisher}}
metrics: {metrics}
source: {{page: tests, licence: none}}
"""
ORGANS = {
    "title": "Organs", "kind": "segmentation", "dims": 3, "channels": "[a]", "seed": 0,
    "settings": "{}", "what": "structures: {big: 1, small: 2}",
    "metrics": "[dice, hd95]",
}  # fmt: skip
NODULES = {
    **ORGANS, "title": "Nodules", "kind": "classification", "settings": "{classes: 2}",
    "what": "target: {name: risk, classes: [low, high]}", "metrics": "[auc]", "seed": 1,
}  # fmt: skip
FILES = {
    "methods/plain.py": METHOD.format(
        name="Plain", base="BaselineSettings", field="pass", parent="Method",
        title="The encoder as it is.", version=1, role="baseline", dims="(2, 3)",
    ),
    "methods/masked.py": METHOD.format(
        name="Masked", base="MethodSettings", field=RATIO, parent="Method",
        title="Hide and predict.", version=3, role="pretrained", dims="(3,)",
    ),
    "methods/flat.py": METHOD.format(
        name="Flat", base="MethodSettings", field="pass", parent="Method",
        title="For slices.", version=1, role="pretrained", dims="(2,)",
    ),
    "methods/joined.py": METHOD.format(
        name="Joined", base="FusionSettings", field="pass", parent="Method",
        title="Encoders side by side.", version=1, role="fusion", dims="(2, 3)",
    ) + '    kinds: ClassVar[tuple[str, ...]] = ("classification",)\n',
    "methods/broken.py": "import a_module_that_is_not_there\n",
    "methods/masked_hard.yaml": "extends: masked\nmask_ratio: 0.9\n",
    "tasks/toy.py": GENERATOR,
    "tasks/organs.yaml": TASK.format(**ORGANS),
    "tasks/nodules.yaml": TASK.format(**NODULES),
    "tasks/slices.yaml": TASK.format(**{**ORGANS, "title": "Slices", "dims": 2})
    .replace("[16, 16, 16]", "[16, 16]").replace("[32, 32, 32]", "[32, 32]"),
    "tasks/pairs.yaml": TASK.format(**{**ORGANS, "channels": "[a, b]"}),
    "tasks/absent.yaml": TASK.format(**{**ORGANS, "title": "Absent"})
    .replace("kind: generated, generator: toy, seed: 0, settings: {}",
             "kind: msd, folder: Task00_Absent"),
    "corpora/toys.yaml": "title: Toys\nsources: [{task: organs}, {task: nodules}]\n",
}  # fmt: skip

GOOD = """
tier: tiny
corpus: toys
methods:
  plain:
  masked:
  harder: {extends: masked, mask_ratio: 75%}
protocols:
  finetune: {steps: 7}
  linear_probe:
tasks:
  organs: {protocols: [finetune]}
  nodules: {protocols: [linear_probe]}
label_budgets: [5-shot, 100%]
seeds: [0, 1]
"""


class Bench:
    """A benchmark file beside content of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "benchmark.yaml"
        for name, text in FILES.items():
            self.add(name, text)

    def add(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def write(self, text: str = GOOD) -> Path:
        return self.add("benchmark.yaml", text)

    def load(self, text: str = GOOD, **options) -> Matrix:
        return load(self.write(text), **options)

    def mistakes(self, text: str) -> list[tuple[int, str]]:
        """Load a file that is wrong; return (line, message) of what it gets wrong."""
        with pytest.raises(Mistakes) as caught:
            self.load(text)
        assert all("benchmark.yaml" in each.file for each in caught.value.mistakes)
        return [(each.line, each.message) for each in caught.value.mistakes]


@pytest.fixture
def own_modules():
    """Forget the content modules that a test imports, so that none meets another's."""
    before = {k: v for k, v in sys.modules.items() if _is_content(k)}
    yield
    for name in [name for name in sys.modules if _is_content(name)]:
        del sys.modules[name]
    sys.modules.update(before)


def _is_content(name: str) -> bool:
    return name.split(".")[0] in ("methods", "tasks")


@pytest.fixture
def bench(tmp_path, monkeypatch, own_modules) -> Bench:
    """A content folder whose methods are described in this process: no child starts."""
    from harness.registry import child

    def ask(asked):
        return json.loads(json.dumps(child.answer(json.loads(json.dumps(asked)))))

    monkeypatch.setattr(describe, "_ask_child", ask)
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    return Bench(tmp_path / "bench")


@pytest.fixture
def folder(tmp_path, monkeypatch, own_modules) -> Bench:
    """The same, with real child processes."""
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    return Bench(tmp_path / "bench")


# What shares something costly (a SLURM, a finished quickstart) stays in one process when
# `make test` spreads the suite over two.
TOGETHER = ("slurm", "faults", "flow")


def pytest_addoption(parser):
    parser.addoption(
        "--write-contract", type=Path, help="write what `-m full` finds to this page"
    )


def pytest_collection_modifyitems(items):
    root = Path(__file__).parent
    for item in items:
        path = item.path
        inside = path.relative_to(root).parts if path.is_relative_to(root) else ()
        group = inside[0] if inside and inside[0] in TOGETHER else str(path)
        item.add_marker(pytest.mark.xdist_group(group))
