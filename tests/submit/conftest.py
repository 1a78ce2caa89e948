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
