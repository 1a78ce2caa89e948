"""The content of this repository's own tasks/, found by folder, and made cases."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from harness.registry.modules import load_module
from harness.registry.taskfile import read_task
from harness.schema.cases import CaseRef
from harness.schema.task import TaskSpec
from harness.volumes.raw import RawCase

TASKS = Path(__file__).resolve().parents[2] / "tasks"


@cache
def load_spec(name: str) -> TaskSpec:
    return TaskSpec.model_validate(read_task(TASKS / f"{name}.yaml").data)


@cache
def load_generator(stem: str) -> ModuleType:
    # Not a plain import: another test may have left a content folder of its own behind.
    return load_module([TASKS.parent], "tasks", stem)


@cache
def made(stem: str, case: CaseRef, seed: int, **settings) -> RawCase:
    return load_generator(stem).make(case, seed, **settings)


def generated_tasks() -> list[str]:
    return sorted(
        path.stem
        for path in TASKS.glob("*.yaml")
        if not path.stem.startswith("_")
        and read_task(path).data["format"]["kind"] == "generated"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "task" in metafunc.fixturenames:
        metafunc.parametrize("task", generated_tasks())
    if "task_file" in metafunc.fixturenames:
        files = sorted(TASKS.glob("[!_]*.yaml"))
        metafunc.parametrize("task_file", files, ids=[path.stem for path in files])


@pytest.fixture
def spec(task) -> TaskSpec:
    return load_spec(task)


@pytest.fixture
def generator(spec) -> ModuleType:
    return load_generator(spec.format.generator)


@pytest.fixture
def refs(spec, generator) -> list[CaseRef]:
    return generator.cases(spec.format.seed, **spec.format.settings)


@pytest.fixture(scope="session")
def make_case():
    """Like a generator's make, but each case is made once a session."""
    return made
