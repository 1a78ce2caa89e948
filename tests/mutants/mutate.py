"""Copies of the project with one bug each, and what their tests say of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
TREE = ("harness", "methods", "tasks", "corpora", "tests", "pyproject.toml")
SECONDS = 300  # a run of one mutant's tests; most take five
ALL_SECONDS = 3000  # a run of all these tests
GREEN, RED = 0, 1  # exit codes of pytest; others say that tests did not run


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. state: killed, survived or broken; by: the test, or why."""

    mutant: Mutant
    state: str
    by: str
    seconds: float


def copy_project(folder: Path) -> Path:
    """Copy what tests of methods need into a new folder, and return it."""
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    return folder


def run_tests(
    tree: Path, nodes: list[str], *, seconds: float = SECONDS
) -> tuple[int, str]:
    """Run tests in a copy until one fails; return pytest's exit code and its output."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree),
        # (bytecode is found by time and size of its source, which a mutant may keep)
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no",
        "-p", "no:cacheprovider", *nodes,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def try_mutant(tree: Path, mutant: Mutant) -> Verdict:
    """Inject a bug into a copy, run its tests, and put the copy right again."""
    start = time.monotonic()
    path = tree / mutant.file
    try:
        text = mutant.apply(tree)
    except ValueError as problem:
        return Verdict(mutant, "broken", str(problem), 0.0)
    try:
        code, output = run_tests(tree, mutant.red.split())
    except subprocess.TimeoutExpired:
        code, output = -1, f"no end after {SECONDS} s"
    finally:
        path.write_text(text)
    failed = re.search(r"^FAILED (\S+)", output, re.MULTILINE)
    if code == RED and failed:
        state, by = "killed", failed[1]
    elif code == GREEN:
        state, by = "survived", ""
    else:
        state, by = "broken", (output.strip().splitlines() or ["no output"])[-1]
    return Verdict(mutant, state, by, time.monotonic() - start)
