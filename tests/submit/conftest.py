import os
import stat
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(
        0, HERE
    )  # stub_runner: imported by tests and by workers by this name


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    from stub_runner import ROOT, Workshop

    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{HERE}")
    return Workshop(tmp_path / "results")


@pytest.fixture
def shims(tmp_path, monkeypatch):
    """Programs of SLURM that do what a test says; `sbatch` copies its script."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(**programs):
        for name, text in programs.items():
            path = folder / name
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    write(
        sbatch=f'cp "$1" {tmp_path}/script; env > {tmp_path}/env; '
        'echo "Submitted batch job 42"',
        squeue="exit 0", srun="exit 1", scontrol="exit 1", scancel="exit 0",
    )  # fmt: skip
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return write
