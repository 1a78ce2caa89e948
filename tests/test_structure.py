"""What holds for the tree as a whole: names, sizes, imports, the wheel."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from harness.registry.taskfile import read_task
from harness.schema.roles import Role

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("harness", "methods", "tasks", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)


def test_there_are_no_drawer_modules():
    drawers = {"utils", "util", "helpers", "misc", "common", "tools"}
    assert not [path for path in SOURCES if path.stem in drawers]


def test_files_stay_readable():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > 330
    }
    assert not long, f"cut these in two: {long}"


def test_the_engine_names_no_method_and_no_task():
    names = {
        path.stem for kind in ("methods", "tasks") for path in (ROOT / kind).glob("*.*")
    }
    names -= {"random", "__init__"}  # also an English word; the others are distinctive
    names -= set(get_args(Role))  # a method may be called as its role is
    names -= {"nnunet"}  # also a layout of folders that others write
    found = []
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in names:
                found.append((str(path.relative_to(ROOT)), node.value))
    assert not found


def test_torchvision_and_timm_are_not_imported():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            tops = {module.split(".")[0] for module in modules}
            assert not tops & {"torchvision", "timm"}, path


@pytest.mark.parametrize(
    "module",
    ["plan", "store", "analyse", "report", "submit", "cli", "matrix", "registry"],
)
def test_it_starts_without_torch(module):
    # registry.child and registry.methods are what loads method files, in a job or a child
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module('harness.{module}')\n"
        "for found in pkgutil.iter_modules(getattr(package, '__path__', [])):\n"
        "    if found.name not in ('child', 'methods'):\n"
        f"        importlib.import_module('harness.{module}.' + found.name)\n"
        "print([name for name in ('torch', 'monai') if name in sys.modules])\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert out.stdout.strip() == "[]"


def test_the_wheel_holds_harness_only(tmp_path):
    build = (
        "import sys; from setuptools import build_meta; "
        "print(build_meta.build_wheel(sys.argv[1]))"
    )
    source = tmp_path / "source"
    source.mkdir()
    tracked = ["pyproject.toml", "README.md", "LICENSE", "harness", "methods", "tasks"]
    for name in tracked:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("medssl_bench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"harness"}
    # What `harness new benchmark` copies is there, and nothing else of it twice.
    for kind, wanted in (("methods", "random.py"), ("tasks", "phantom_organs.yaml")):
        assert f"harness/templates/{kind}/{wanted}" in names
    assert "harness/templates/methods/_nnunet_program.py" in names
    assert sum(name.startswith("harness/templates/tasks/") for name in names) == 2
    command = [sys.executable, "-m", "harness", "new", "benchmark", "first"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    subprocess.run(command, cwd=tmp_path, check=True, env=environment)
    assert (tmp_path / "first/methods/random.py").is_file()


def test_the_lock_names_torch_without_a_local_version_or_hash():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert "torch==2.13.0" in lines
    packages = [line for line in lines if line and not line.startswith("#")]
    assert all("+" not in line and "--hash" not in line for line in packages)
    assert all(line.count("==") == 1 for line in packages)


def test_every_task_and_corpus_file_says_what_is_synthetic():
    for path in (ROOT / "tasks").glob("[!_]*.yaml"):
        spec = read_task(path).data
        generated = spec["format"]["kind"] == "generated"
        assert spec.get("synthetic", False) == generated, path.name
        if generated:
            assert "ynthetic" in spec["title"], (
                f"{path.name}: the title must say synthetic"
            )
